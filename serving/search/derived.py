"""Tensors that are made of a record's when it is loaded, and kept beside them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy.typing as npt

from ...export.bundle.spec import TensorSpec

Arrays = Mapping[str, npt.NDArray[Any]]


def _nothing(record: Arrays) -> Arrays:
    return {}


@dataclass(frozen=True)
class Derived:
    """What is made, and how: from the tensors [N, ...] of N records to others [N, ...].

    Attributes:
        key: changes whenever the same records would make other tensors.
        specs: of one record's.
        lanes: of those whose rows lie side by side, how many do.
    """

    key: str = ""
    specs: Sequence[TensorSpec] = ()
    lanes: Mapping[str, int] = field(default_factory=dict)
    make: Callable[[Arrays], Arrays] = _nothing

    @property
    def names(self) -> tuple[str, ...]:
        """Of the tensors."""
        return tuple(spec.name for spec in self.specs)


NOTHING = Derived()


def both(first: Derived, second: Derived) -> Derived:
    """What two make of the same records, of different names."""
    if first is NOTHING:
        return second

    def make(record: Arrays) -> Arrays:
        return {**first.make(record), **second.make(record)}

    specs, lanes = (*first.specs, *second.specs), {**first.lanes, **second.lanes}
    return Derived(f"{first.key}, {second.key}", specs, lanes, make)
