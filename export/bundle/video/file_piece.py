"""A piece of a film: a file with some of its packets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .part import Part


@dataclass(frozen=True)
class FilePiece:
    """A file, and the segments of the film that it has."""

    data: bytes
    parts: Sequence[Part]
