"""Rows as JSON objects and back, by the types of their dataclasses; what doesn't fit those is refused."""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from ...export.bundle.errors import InvalidInput

Made = TypeVar("Made")


def encoded(value: Any) -> Any:
    """A dataclass as a JSON object without the fields that have their default value."""
    if is_dataclass(value):
        return {one.name: encoded(held) for one in fields(value) if (held := getattr(value, one.name)) != _default(one)}
    if isinstance(value, Mapping):
        return {key: encoded(held) for key, held in value.items()}
    if isinstance(value, tuple):
        return [encoded(held) for held in value]
    return value


def decoded(made: type[Made], given: object, place: str) -> Made:
    """The dataclass ``made`` of a JSON object.

    Args:
        place: where the object stands, for messages.

    Raises:
        InvalidInput: a field that ``made`` doesn't have, one that is missing, or a value of another type.
    """
    if not isinstance(given, dict):
        raise InvalidInput(f"{place} is {given!r:.60}, not an object")
    known = {one.name: one for one in fields(made)}  # type: ignore[arg-type]
    if unknown := sorted(given.keys() - known.keys()):
        raise InvalidInput(f"{place} has {', '.join(unknown)}, which is not known")
    if missing := [name for name, one in known.items() if name not in given and _default(one) is MISSING]:
        raise InvalidInput(f"{place} lacks {', '.join(missing)}")
    hints = get_type_hints(made)
    return made(**{name: _value(hints[name], value, f"{name} of {place}") for name, value in given.items()})


def _value(hint: Any, given: Any, place: str) -> Any:
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return _one_of(inner, given, place)
    if origin is Literal and given in inner:
        return given
    if is_dataclass(hint):
        return decoded(hint, given, place)  # type: ignore[arg-type]
    if origin is tuple and isinstance(given, list):
        return tuple(_value(inner[0], held, f"item {number} of {place}") for number, held in enumerate(given))
    if isinstance(origin, type) and issubclass(origin, Mapping) and isinstance(given, dict):
        return {key: _value(inner[1], held, f"{key} of {place}") for key, held in given.items()}
    # A float that happens to be whole is written without a point.
    if type(given) is hint or (hint is float and type(given) is int):
        return given
    raise InvalidInput(f"{place} is {given!r:.60}, not {getattr(hint, '__name__', hint)}")


def _one_of(hints: tuple[Any, ...], given: Any, place: str) -> Any:
    if given is None and type(None) in hints:
        return None
    *others, last = [hint for hint in hints if hint is not type(None)]
    for hint in others:
        if type(given) is hint:
            return given
    return _value(last, given, place)


def _default(one: Field[Any]) -> Any:
    return one.default if one.default_factory is MISSING else one.default_factory()
