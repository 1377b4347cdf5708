"""What a model reads of a feature file, and by which rule it becomes the video encoder's inputs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class FeatureArray:
    """One named array of a feature file.

    Attributes:
        dims: a number, or a name where it varies; arrays of one file that share a name have one size there.
        optional: whether a video may lack it.
        zeros: whether a row of zeros says something, as a time or a place does.
        seconds: what a row stands for, where rows follow one another in time.
        unread: whether a file may have it although the model doesn't read it; it may then hold anything.
    """

    name: str
    dims: tuple[int | str, ...]
    optional: bool = False
    zeros: bool = False
    seconds: float | None = None
    unread: bool = False

    def describe(self) -> str:
        """As in "2d [rows, 2048]"."""
        return f"{self.name} [{', '.join(map(str, self.dims))}]{' (may be missing)' if self.optional else ''}"


@dataclass(frozen=True)
class FeatureProfile:
    """How a feature file becomes tensors: ``rule`` is one of ``rules.RULES``, ``arrays`` all that a file may have."""

    rule: str
    arrays: tuple[FeatureArray, ...]

    def describe(self) -> str:
        """What to bring, in words for a person."""
        return ", ".join(array.describe() for array in self.arrays if not array.unread)
