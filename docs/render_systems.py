"""Write the tables of ``docs/systems`` from the systems' cards: ``python docs/render_systems.py``, or ``make docs``.

A table stands between ``<!-- NAME -->`` and ``<!-- /NAME -->``; everything else on a page is written by hand. With
``--check`` nothing is written, and a page that is not what the cards say is an error.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from framesift.export.systems.card import Example, SystemCard
from framesift.export.systems.contract import System
from framesift.export.systems.registry import cards

PAGES = Path(__file__).with_name("systems")
OVERVIEW = "README"

Card = SystemCard[Any]
Row = Sequence[object]


def cards_of(page: str) -> list[Card]:
    """The cards that a page is about."""
    return [card for card in cards() if (card.page or card.name) == page]


def published(card: Card, example: Example[Any], frames: int, tokens: int) -> System:
    """A model in the sizes that the authors published with, without weights."""
    declared = {*card.shown, *(option.name for option in card.options)}
    lengths = {name: n for name, n in (("frames", frames), ("max_tokens", tokens)) if name in declared}
    with torch.device("meta"):
        return card.model(card.sizes, {**lengths, **example.options})


def models(card: Card) -> Iterator[tuple[Example[Any], System]]:
    """A model of each example, in the lengths of MSR-VTT."""
    for example in card.examples:
        yield example, published(card, example, *card.lengths[0])


def size(system: System) -> int:
    """Bytes of a video record in a gallery."""
    return sum(prod(spec.shape) * np.dtype(spec.stored).itemsize for spec in system.video_record)


def operations(system: System) -> int:
    """Of the matrix products that score one pair."""
    sides = (system.text_record, system.video_record)
    text, video = ([torch.empty(1, *spec.shape, device="meta") for spec in side if spec.scored] for side in sides)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        system.score(text, video)
    return int(counter.get_total_flops())


def options_table(page: str) -> str:
    """What is assumed, and how it is set."""
    rows: dict[str, Row] = {}
    for card in cards_of(page):
        for example in card.examples:
            found = {**card.shown, **{name: v for name, v in example.options.items() if name in card.shown}}
            for option in card.options:
                if not option.applies(card.sizes, found):
                    continue
                value, _ = option.assumed(card.sizes, found)
                written = json.dumps(value) if isinstance(value, bool) else str(value)
                flag = option.name.replace("_", "-") if option.flag else f"set {option.name}={written}"
                how = f"`--{flag}`" + (f": {option.what}" if option.what else "")
                shown = f"`{written}`" if isinstance(value, str | bool) else value
                rows.setdefault(option.name, (f"`{option.name}`", shown, how))
    return table(("option", "default", "set it with"), "---", list(rows.values()))


def record_tables(page: str) -> str:
    """What a gallery keeps of a video; a table for each of the records that there are."""
    found: dict[str, list[str]] = {}
    for card in cards_of(page):
        for example, system in models(card):
            rows: list[Row] = [
                (f"`{spec.name}`", " x ".join(map(str, spec.shape)), spec.stored, number(prod(spec.shape) * width))
                for spec in system.video_record
                for width in [np.dtype(spec.stored).itemsize]
            ]
            total = ("total", "", "", number(size(system)))
            made = table(("tensor", "shape", "stored as", "bytes"), "--->", [*rows, total])
            found.setdefault(made, []).append(example.name or card.title)
    if len(found) == 1:
        return next(iter(found))
    return "\n\n".join(f"{', '.join(names)}:\n\n{made}" for made, names in found.items())


def cost_table(page: str) -> str:
    """What a pair costs, in the lengths that the authors tested with."""
    rows: dict[str, dict[tuple[int, int], Row]] = {}
    for card in cards_of(page):
        for example in card.examples:
            for frames, tokens in card.lengths:
                system = published(card, example, frames, tokens)
                scorer = system.scorer
                counts = (number(size(system)), f"`{scorer.operations}`", number(operations(system)))
                found = rows.setdefault(scorer.name, {})
                found.setdefault((frames, tokens), (f"`{scorer.name}`", frames, tokens, *counts))
    heads = ("scored by", "F", "W", "bytes a video", "formula", "operations a pair")
    return table(heads, "->>>->", [row for found in rows.values() for _, row in sorted(found.items())])


def overview_table() -> str:
    """A line for every system and scorer."""
    rows: dict[tuple[str, str], list[Any]] = {}
    for card in cards():
        for example, system in models(card):
            key = (card.name, system.scorer.name)
            cost = (number(size(system)), number(operations(system)))
            row = rows.setdefault(key, [[], f"`{card.name}`", f"`{system.scorer.name}`", *cost, card.checkpoints])
            row[0].append(example.name)
    several = {name for name, _ in rows if sum(name == other for other, _ in rows) > 1}
    titles = {card.name: f"[{card.title}]({card.page or card.name}.md)" for card in cards()}
    for (name, _), row in rows.items():
        row[0] = f"{titles[name]} {', '.join(row[0]) if name in several else ''}".strip()
    heads = ("page", "`--system`", "scored by", "bytes a video", "operations a pair", "checkpoints of the authors")
    return table(heads, "--->>-", list(rows.values()))


def number(value: int) -> str:
    """With commas."""
    return f"{value:,}"


def table(heads: Sequence[str], sides: str, rows: Sequence[Row]) -> str:
    """A table in Markdown; ``sides`` has > for a column of numbers."""
    rule = ["---:" if side == ">" else "---" for side in sides.ljust(len(heads), "-")][: len(heads)]
    first, *others = ("|".join(f" {cell} " if cell != "" else " " for cell in row) for row in (heads, *rows))
    return "\n".join(f"|{line}|" for line in (first, "|".join(rule), *others))


def tables(page: str) -> Mapping[str, str]:
    """The tables of a page, by name."""
    if page == OVERVIEW:
        return {"overview": overview_table()}
    return {"options": options_table(page), "record": record_tables(page), "cost": cost_table(page)}


def rendered(page: str, text: str) -> str:
    """The text of a page with its tables as the cards have them.

    Raises:
        ValueError: a table has no place on the page.
    """
    for name, made in tables(page).items():
        place = re.compile(rf"<!-- {name} -->\n.*?<!-- /{name} -->", re.DOTALL)
        if not place.search(text):
            raise ValueError(f"{page}.md has no place <!-- {name} --> ... <!-- /{name} --> for a table")
        text = place.sub(lambda _: f"<!-- {name} -->\n{made}\n<!-- /{name} -->", text)  # noqa: B023
    return text


def main(arguments: list[str]) -> int:
    """The program, for the pages that are named, or all; the exit status is 1 where ``--check`` finds another page."""
    status, every = 0, (OVERVIEW, *dict.fromkeys(card.page or card.name for card in cards()))
    for page in [page for page in every if page in arguments] or every:
        path = PAGES / f"{page}.md"
        text = path.read_text(encoding="utf-8")
        if (wanted := rendered(page, text)) == text:
            continue
        if "--check" in arguments:
            print(f"{path} is not what the systems' cards say: run `make docs`", file=sys.stderr)
            status = 1
        else:
            path.write_text(wanted, encoding="utf-8")
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
