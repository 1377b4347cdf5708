"""The dashboard asks for nothing that a server does not tell."""

from __future__ import annotations

import json
import re
import urllib.request
from pathlib import Path

import pytest

from framesift.export.bundle.errors import InvalidQuery
from framesift.serving.client.sync import Client

from .prometheus import Family, parse

DASHBOARD = json.loads((Path(__file__).parents[3] / "docs" / "grafana.json").read_text(encoding="utf-8"))
EXPRESSIONS = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
SELECTOR = re.compile(r'(\w+)\{((?:\w+=~?"[^"]*",?)*)\}')
# Given by Prometheus to all that it reads.
BY_PROMETHEUS = {"instance"}
# What only happens when something goes wrong.
RARE = {"load", "INTERNAL|UNAVAILABLE|DEADLINE_EXCEEDED"}


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
    with urllib.request.urlopen(f"http://{server.address}/metrics") as answer:
        found = parse(answer.read().decode())
    asked = set()
    for expression in EXPRESSIONS:
        grouped = {label.strip() for by in re.findall(r"by \(([^)]*)\)", expression) for label in by.split(",")}
        selectors = SELECTOR.findall(expression)
        assert selectors, expression
        for name, selector in selectors:
            told = labels_of(found, name)
            assert told, f"no server tells {name}: {expression}"
            wanted = re.findall(r'(\w+)=~?"([^"]*)"', selector)
            used = grouped | {label for label, _ in wanted}
            assert used - BY_PROMETHEUS <= told[0].keys(), expression
            for label, value in wanted:
                if label not in BY_PROMETHEUS and value not in RARE:
                    assert value in {labels[label] for labels in told}, expression
            asked.add(name)
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
