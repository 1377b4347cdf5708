"""The short list of a scorer with two stages, of the videos of all shards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ...export.bundle.errors import FramesiftError
from ...export.bundle.ports import OPTIONS, TOP
from .fleet import Fleet
from .merging import Hits, Joined
from .messages import CHOOSE, Arrays, Message
from .paging import ShardPage
from .shard import SEEN
from .shard_search import CHOSEN


class Chosen(NamedTuple):
    """What each shard is asked in the second stage, why others are not, and what the first stage saw.

    Attributes:
        seen: versions, by shard.
    """

    parts: Mapping[int, Arrays]
    lost: Mapping[int, FramesiftError] = {}
    seen: Mapping[int, int] = {}


def choose(fleet: Fleet, page: ShardPage, parts: Mapping[int, Arrays]) -> Chosen:
    """Ask all shards for their nearest videos, and give each those that are among the nearest of all.

    Args:
        parts: what each shard would be asked without a short list.
    """
    most = page.most or 0
    messages = {shard: Message([_first(page, shard, part, most)]) for shard, part in parts.items()}
    answers = fleet.ask(CHOOSE, messages, oldest=page.cursor is not None)
    found: dict[int, Any] = {}
    lost: dict[int, FramesiftError] = {}
    seen: dict[int, int] = {}
    for shard, answer in answers.items():
        if isinstance(answer, FramesiftError):
            lost[shard] = answer
        elif isinstance(first := answer.parts[0], FramesiftError):
            lost[shard] = first
        else:
            found[shard], seen[shard] = first, int(answer.head[SEEN])
    if not found:
        return Chosen({}, lost)
    lists = [hits.take(slice(most)) for hits in Joined([*found.items()]).merged()]
    chosen = {shard: {**parts[shard], CHOSEN: _of(lists, shard)} for shard in found}
    return Chosen(chosen, lost, seen)


def _first(page: ShardPage, shard: int, part: Arrays, most: int) -> Arrays:
    """What a shard is asked for its nearest rows."""
    rows = len(part[TOP])
    options = np.repeat(np.frombuffer(page.chosen_of(shard), np.uint8)[None], rows, axis=0)
    return {**part, TOP: np.full((rows, 1), most, np.int32), OPTIONS: options}


def _of(lists: Sequence[Hits], shard: int) -> np.ndarray[Any, Any]:
    """A shard's own of each text's short list."""
    own = [hits.numbers[hits.shards == shard] for hits in lists]
    chosen = np.full((len(lists), max(1, *map(len, own))), -1, np.int64)
    for row, numbers in enumerate(own):
        chosen[row, : len(numbers)] = numbers
    return chosen
