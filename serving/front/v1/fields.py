"""Values that a request brings as JSON or in its query string: every one is known, and of its type."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any
from urllib.parse import parse_qsl

from ....export.bundle.errors import InvalidRequest
from ..aliases import FIELD

_MOST = 16


def read_json(body: bytes, known: Collection[str] | None = None) -> dict[str, Any]:
    """The JSON object in a body.

    Raises:
        InvalidRequest: it is none, or has a field that is not ``known``, where it may not have any.
    """
    try:
        values = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"the body is no JSON: {str(error)[:100]}") from error
    if not isinstance(values, dict):
        raise InvalidRequest("the body must be a JSON object")
    if known is not None:
        _check_known(values, known)
    return values


def read_fields(body: bytes, known: Collection[str]) -> dict[str, Any]:
    """The fields of the JSON object in a body; one that is null is as if it was left out.

    Raises:
        InvalidRequest: as ``read_json``.
    """
    return {name: value for name, value in read_json(body, known).items() if value is not None}


def read_query(scope: Mapping[str, Any], known: Collection[str]) -> dict[str, str]:
    """The fields of a request's query string.

    Raises:
        InvalidRequest: it can't be read, or has a field twice or one that is not ``known``.
    """
    try:
        pairs = parse_qsl(
            scope.get("query_string", b"").decode("ascii"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=_MOST,
        )
    except ValueError as error:
        raise InvalidRequest(f"the query string can't be read: {str(error)[:100]}") from error
    values = dict(pairs)
    if len(values) < len(pairs):
        raise InvalidRequest("the query string has a field twice")
    # By then it has chosen who answers.
    values.pop(FIELD, None)
    _check_known(values, known)
    return values


def needed(values: Mapping[str, str], name: str) -> str:
    """A field that must be there.

    Raises:
        InvalidRequest: it is not.
    """
    if name not in values:
        raise InvalidRequest(f"the request needs {name} in its query string, as in ?{name}=...")
    return values[name]


def _check_known(values: Mapping[str, Any], known: Collection[str]) -> None:
    if unknown := [name for name in values if name not in known]:
        raise InvalidRequest(f"there is no field {unknown[0][:60]!r} here; there are {', '.join(known)}")
