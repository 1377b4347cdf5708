"""A video to be indexed, and what became of it: what passes between whoever commits and whoever encodes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..gallery.rows import Row


@dataclass(frozen=True, slots=True)
class Video:
    """A video to be indexed.

    Attributes:
        id: what it is called in the gallery.
        place: the path of its film or feature file, or the address of one, from wherever it is read.
        source: what the gallery keeps of that.
        beside: the feature file beside a film, for a model that reads both.
        metadata: the text of a JSON object.
        digest: the SHA-256 that its file must have; None where nobody said.
        known: the digest that the gallery has under its id; a file of that content need not be encoded.
    """

    id: str
    place: str
    source: str
    beside: str | None = None
    metadata: str = "{}"
    digest: bytes | None = None
    known: bytes | None = None


@dataclass(frozen=True)
class Made:
    """What became of a video: the ``row`` to keep, the ``reason`` why there is none, or neither for one that is known.

    A row comes without its entry's tensors, of which it has those in the dtypes that are kept.
    """

    video: Video
    row: Row | None = None
    reason: str = ""

    @property
    def status(self) -> Literal["indexed", "skipped", "failed"]:
        """What became of it, in a word."""
        return "failed" if self.reason else "skipped" if self.row is None else "indexed"
