"""Links between documents lead somewhere, and so do their anchors."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

from .documents import DOCUMENTS, name

_FENCE = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)


def prose(document: Path) -> str:
    """The text without fenced blocks."""
    return _FENCE.sub("", document.read_text(encoding="utf-8"))


@cache
def anchors(document: Path) -> set[str]:
    """The anchors that GitHub makes of the headings."""
    headings = re.findall(r"^#+ +(.+?) *$", prose(document), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(document: Path) -> list[str]:
    """The targets of all links and pictures that don't leave the repository."""
    found = re.findall(r"\]\(([^)\s]+)\)", prose(document))
    return [target for target in found if not re.match(r"[a-z]+:", target)]


def test_links_are_found() -> None:
    assert sum(len(links(document)) for document in DOCUMENTS) > 100


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_links_and_anchors_exist(document: Path) -> None:
    for target in links(document):
        path, _, anchor = target.partition("#")
        there = (document.parent / path).resolve() if path else document
        assert there.exists(), f"{target} leads nowhere"
        assert not anchor or anchor in anchors(there), f"{target}: {name(there)} has no such heading"


def test_every_document_is_reached_from_the_readme() -> None:
    readme, *_ = DOCUMENTS
    reached, left = {readme}, [readme]
    while left:
        here = left.pop()
        for target in links(here):
            there = (here.parent / target.partition("#")[0]).resolve()
            if there.suffix == ".md" and there not in reached:
                reached.add(there)
                left.append(there)
    assert set(DOCUMENTS) - reached == set()
