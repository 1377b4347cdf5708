"""The dashboard asks for nothing that a server does not tell."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from framesift.export.bundle.errors import InvalidQuery
from framesift.serving.client.sync import Client

from ...waiting import until
from .asked_over_http import settle
from .prometheus import Family
from .test_metrics import page

DASHBOARD = json.loads((Path(__file__).parents[3] / "docs" / "grafana.json").read_text(encoding="utf-8"))
EXPRESSIONS = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
SELECTOR = re.compile(r'(\w+)\{((?:\w+=~?"[^"]*",?)*)\}')
# Given by Prometheus to all that it reads.
BY_PROMETHEUS = {"instance"}
# What only happens when something goes wrong.
RARE = {"load", "INTERNAL|UNAVAILABLE|DEADLINE_EXCEEDED"}


def untold(found: dict[str, Family]) -> list[str]:
    """The queries of which a server does not tell a metric, or a label."""
    return [
        f"{name}: {expression}"
        for expression in EXPRESSIONS
        for name, selector in SELECTOR.findall(expression)
        if not is_told(found, name, expression, re.findall(r'(\w+)=~?"([^"]*)"', selector))
    ]


def is_told(found: dict[str, Family], name: str, expression: str, wanted: list[tuple[str, str]]) -> bool:
    told = labels_of(found, name)
    grouped = {label.strip() for by in re.findall(r"by \(([^)]*)\)", expression) for label in by.split(",")}
    used = grouped | {label for label, _ in wanted}
    return (
        bool(told)
        and used - BY_PROMETHEUS <= told[0].keys()
        and all(
            value in {labels[label] for labels in told}
            for label, value in wanted
            if label not in BY_PROMETHEUS and value not in RARE
        )
    )


def labels_of(found: dict[str, Family], sample: str) -> list[dict[str, str]]:
    """The labels of every sample of that name; none where a server does not tell it."""
    return [dict(labels) for family in found.values() for name, labels in family.samples if name == sample]


@pytest.mark.server
def test_every_query_is_of_metrics_and_labels_that_exist(server, client: Client, indexed: list) -> None:
    # The door may have been started again since its gallery was filled.
    client.index(indexed[0].video, id=indexed[0].video.name)
    client.search("a red circle")
    with pytest.raises(InvalidQuery):
        client.search("&nbsp;")
    assert all(map(SELECTOR.search, EXPRESSIONS))
    # Models report once a second, and a call is counted once its answer is sent.
    until(lambda: not untold(page(server.address)), pause_s=0.1, told=lambda: untold(page(server.address)))
    # Other tests compare what they find.
    settle(client)
    found = page(server.address)
    asked = {name for expression in EXPRESSIONS for name, _ in SELECTOR.findall(expression)}
    # Nothing that the door tells is left out.
    own = {name for name in found if name.startswith("framesift_")}
    assert own == {re.sub(r"_(bucket|sum|count)$", "", name) for name in asked if name.startswith("framesift_")}


def test_panels_are_whole() -> None:
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len({panel["title"] for panel in panels}) == len(panels)
    places = [panel["gridPos"] for panel in panels]
    cells = [
        (x, y) for at in places for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])
    ]
    assert len(cells) == len(set(cells)), "panels overlap"
    assert max(x for x, _ in cells) < 24
    for expression in EXPRESSIONS:
        for left, right in ("()", "{}", "[]"):
            assert expression.count(left) == expression.count(right)
