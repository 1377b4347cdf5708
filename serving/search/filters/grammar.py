"""What a filter says, as values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from .tokens import Value

Path = tuple[str, ...]


@dataclass(frozen=True)
class Test:
    """One field compared with values.

    Attributes:
        field: names, from the outermost object's on.
        sign: =, !=, <, <=, >, >=, in, has or exists.
        values: one, several of ``in``, or none of ``exists``.
        at: the place of the field in the filter, from 1 on.
        places: those of the values.
    """

    field: Path
    sign: str
    values: tuple[Value, ...]
    at: int
    places: tuple[int, ...]


@dataclass(frozen=True)
class Not:
    """What does not hold."""

    part: Filter


@dataclass(frozen=True)
class Every:
    """All of which hold."""

    parts: tuple[Filter, ...]


@dataclass(frozen=True)
class Some:
    """One of which holds at least."""

    parts: tuple[Filter, ...]


Filter = Test | Not | Every | Some


def tests(filter_: Filter) -> Iterator[Test]:
    """All tests of a filter, in their order."""
    match filter_:
        case Test():
            yield filter_
        case Not(part):
            yield from tests(part)
        case Every(parts) | Some(parts):
            for part in parts:
                yield from tests(part)


def name_of(path: Path) -> str:
    """A field's name as it is written in a filter."""
    return ".".join(name if name.replace("-", "_").isidentifier() else f"`{name}`" for name in path)
