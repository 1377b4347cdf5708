"""Writing to shards, and looking into them: every id is kept by one, and all of them count."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...export.bundle.errors import FramesiftError, ServerUnavailable
from ...export.bundle.ports import COUNT, VERSION
from .fleet import Answers, Fleet
from .messages import LOOKUP, NOTHING, Arrays, Message, Part


class Keepers:
    """Asks shards on behalf of the models that write and look up; not to be shared between threads."""

    def __init__(self) -> None:
        self.fleet = Fleet.of_environment()
        self._counts: dict[int, int] = {}

    def hear(self) -> Mapping[int, FramesiftError]:
        """Learn what all shards have, before some are written: what is written then comes after what others have.

        Returns:
            Why shards don't answer. They count as they did last, and can't be written.
        """
        answers = self.look(dict.fromkeys(range(self.fleet.count), NOTHING))
        self.note(answers)
        return {shard: answer for shard, answer in answers.items() if isinstance(answer, FramesiftError)}

    def look(self, messages: Mapping[int, Message]) -> Answers:
        """The answers of shards that are asked for what they have, by whoever writes them now or in a moment."""
        answers = self.fleet.ask(LOOKUP, messages)
        lost = [shard for shard, answer in answers.items() if isinstance(answer, ServerUnavailable)]
        if not self.fleet.succeeded(lost):
            return answers
        return {**answers, **self.fleet.ask(LOOKUP, {shard: messages[shard] for shard in lost})}

    def note(self, answers: Answers) -> None:
        """Take note of how many videos shards have."""
        for shard, answer in answers.items():
            if isinstance(answer, Message):
                for part in answer.parts:
                    if not isinstance(part, FramesiftError) and written(part):
                        self._counts[shard] = int(part[COUNT].flat[0])

    @property
    def count(self) -> int:
        """The number of videos, as far as shards have told."""
        return sum(self._counts.values())

    @property
    def version(self) -> int:
        """The newest version of any shard."""
        return self.fleet.heard


def part_of_answer(answers: Answers, shard: int, place: int = 0) -> Mapping[str, np.ndarray[Any, Any]]:
    """What a shard answers one request.

    Raises:
        FramesiftError: it doesn't, or refuses.
    """
    answer = answers[shard]
    part: Part = answer if isinstance(answer, FramesiftError) else answer.parts[place]
    if isinstance(part, ServerUnavailable):
        raise ServerUnavailable(f"{part}. What was to be written may be there or not: send it again")
    if isinstance(part, FramesiftError):
        raise part
    return part


def written(part: Arrays) -> bool:
    """Whether an answer tells of the gallery, and not of a film whose last segment is still to come."""
    return bool(part[VERSION].any())


def newest(parts: Sequence[Arrays]) -> int:
    """The newest version in some answers."""
    return max(int(part[VERSION].max()) for part in parts)
