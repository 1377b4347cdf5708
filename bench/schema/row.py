"""What every row has, and what a file of rows is called."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Generic, TypeVar

from .machine import Machine


@dataclass(frozen=True, kw_only=True)
class Row:
    """One measurement.

    Attributes:
        machine: what it was measured on; written with the row.
        ended_early: whether the run was ended before all its rows were there.
    """

    machine: Machine = field(default_factory=Machine)
    ended_early: bool = False


Made = TypeVar("Made", bound=Row)


@dataclass(frozen=True)
class Kind(Generic[Made]):
    """A kind of row.

    Attributes:
        name: what a row says of itself.
        row: its type.
        command: measures it, and writes it.
        file: the files of a run, ``<file>_<date>.jsonl``; a run's verdict stands beside its rows.
    """

    name: str
    row: type[Made]
    command: str
    file: str
