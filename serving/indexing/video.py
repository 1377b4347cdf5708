"""A video to be indexed, and what became of it: what passes between whoever commits and whoever encodes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ...export.bundle.segments import Cutting
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
        known: the digest that the gallery has under its id; a file of that content, cut so, need not be encoded.
        cutting: how the film is cut, if it is.
        before: how the film is cut that the gallery has under its id, as JSON; empty where that is whole.
    """

    id: str
    place: str
    source: str
    beside: str | None = None
    metadata: str = "{}"
    digest: bytes | None = None
    known: bytes | None = None
    cutting: Cutting | None = None
    before: str = ""


@dataclass(frozen=True, slots=True)
class Reached:
    """How many of a film's segments are made, while others are to come."""

    done: int
    total: int


@dataclass(frozen=True)
class Made:
    """What became of a video: its ``rows`` to keep, the ``reason`` why there are none, or neither for a known one.

    Rows come without their entries' tensors, of which they have those in the dtypes that are kept. ``file_digest`` is
    the SHA-256 of what was read for them.
    """

    video: Video
    rows: tuple[Row, ...] = ()
    reason: str = ""
    file_digest: bytes = b""

    @property
    def uncut(self) -> bool:
        """Whether the gallery had the film in segments, and has it whole now."""
        return bool(self.rows) and self.video.cutting is None and bool(self.video.before)

    @property
    def status(self) -> Literal["indexed", "skipped", "failed"]:
        """What became of it, in a word."""
        return "failed" if self.reason else "indexed" if self.rows else "skipped"
