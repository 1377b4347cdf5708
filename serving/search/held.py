"""Which rows of a table's fragments are in memory, and which of them are gone in another version of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..gallery.reader import Reader
from ..gallery.table import Part

Numbers = npt.NDArray[np.int64]
_NONE = np.empty(0, np.int64)


@dataclass(frozen=True)
class Held:
    """A fragment as it was: the numbers [R] of the rows that it had, and their places in it, where these are known."""

    part: Part
    numbers: Numbers
    places: Numbers | None = None


@dataclass(frozen=True)
class Change:
    """From some fragments to those of another version.

    Attributes:
        held: the fragments of that version.
        new: those that were not there before.
        gone: the numbers of rows that are not there any more.
    """

    held: dict[int, Held]
    new: list[int]
    gone: Numbers


def held_by(reader: Reader) -> dict[int, Held]:
    """All fragments of the reader's version, by number."""
    parts = reader.parts()
    return {number: Held(parts[number], *found) for number, found in reader.numbers(list(parts)).items()}


def change_of(reader: Reader, held: Mapping[int, Held]) -> Change | None:
    """What the reader's version has beside ``held``; None where it is the same.

    Of a fragment that has but lost rows, as most have that differ, nothing is read: the table says which are left.
    """
    parts = reader.parts()
    other = {number: part for number, part in parts.items() if number not in held or held[number].part != part}
    lost = [number for number in held if number not in parts]
    if not other and not lost:
        return None
    # Where a copy of an earlier state lies in the gallery's place, a number may be of another file.
    new = [number for number, part in other.items() if number not in held or held[number].part.file != part.file]
    fewer = [number for number in other if number not in new]
    unplaced = [number for number in fewer if held[number].places is None]
    fresh = {number: Held(parts[number], *found) for number, found in reader.numbers([*new, *unplaced]).items()}
    gone = [_without(held[number].numbers, fresh[number].numbers) for number in unplaced]
    for number, left in reader.places([number for number in fewer if number not in unplaced]).items():
        fresh[number], removed = _fewer(held[number], parts[number], left)
        gone.append(removed)
    # Rows of a fragment that is gone may be in a new one.
    before = [held[number].numbers for number in (*lost, *new) if number in held]
    gone.append(_without(np.concatenate([_NONE, *before]), np.concatenate([_NONE, *(fresh[n].numbers for n in new)])))
    return Change({number: fresh.get(number) or held[number] for number in parts}, new, np.concatenate(gone))


def _fewer(before: Held, part: Part, left: Numbers) -> tuple[Held, Numbers]:
    """A fragment with the rows at the places ``left``, and the numbers of the others that it had."""
    assert before.places is not None
    kept = np.zeros(part.rows, np.bool_)
    kept[left] = True
    still = kept[before.places]
    return Held(part, before.numbers[still], before.places[still]), before.numbers[~still]


def _without(numbers: Numbers, others: Numbers) -> Numbers:
    found: Numbers = np.setdiff1d(numbers, others)
    return found
