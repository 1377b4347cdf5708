"""Distinct queries: a user's own, captions as the demo model knows them, or thousands in many lengths."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ...export.bundle.errors import InvalidInput
from ...export.corpus.generate import KINDS, stories
from ...export.corpus.shapes import random_story

COUNT = 4000
_TRIES = 50


def read(path: Path) -> list[str]:
    """A file's queries, one a line, without empty and repeated ones.

    Raises:
        InvalidInput: there is none.
    """
    lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    queries = list(dict.fromkeys(line for line in lines if line))
    if not queries:
        raise InvalidInput(f"{path} holds no query: it needs one a line")
    return queries


def captions(count: int) -> list[str]:
    """``count`` distinct captions of the shapes corpus, where results count and not only times."""
    kind = KINDS["motion"]
    return [kind.tell(story) for story in stories(kind, count, "train", 7, variants=1)]


def generate(count: int = COUNT, seed: int = 0) -> list[str]:
    """``count`` distinct queries of 2 to about 30 words, as terse or as wordy as people's searches.

    Raises:
        InvalidInput: there aren't that many.
    """
    rng = np.random.default_rng(seed)
    queries: dict[str, None] = {}
    for _ in range(_TRIES * count):
        queries.setdefault(_query(rng))
        if len(queries) == count:
            return list(queries)
    raise InvalidInput(f"only about {len(queries)} distinct queries can be generated, {count} were asked for")


def _query(rng: np.random.Generator) -> str:
    events = random_story(rng, "train")
    way = rng.random()
    if way < 0.1:
        return f"{events[0].colour} {events[0].shape}"
    if way < 0.3:
        return f"{events[0].thing} {events[0].motion}"
    if way < 0.7:
        return ", then ".join(map(str, events))
    if way < 0.9:
        return f"a short video in which {' and after that '.join(map(str, events))}"
    more = random_story(rng, "train")
    return f"first {', then '.join(map(str, (*events, *more)))}, on a dark background"
