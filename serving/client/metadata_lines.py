"""Metadata of videos as JSON lines."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterable, Iterator
from typing import Any

from ...export.bundle.errors import InvalidRequest


def decoded(lines: Iterable[bytes], what: str = "metadata's") -> Iterator[str]:
    """The lines of a UTF-8 file, which may begin with a byte-order mark; ``what`` says in messages whose.

    Raises:
        InvalidRequest: a line that is not UTF-8.
    """
    for number, line in enumerate(lines, start=1):
        try:
            yield line.removeprefix(codecs.BOM_UTF8 if number == 1 else b"").decode("utf-8")
        except UnicodeDecodeError as error:
            raise InvalidRequest(
                f"the {what} line {number} is not UTF-8, at its byte {error.start + 1}: save the file as UTF-8"
            ) from error


def read_metadata(lines: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Metadata by id, from JSON lines of objects that have an ``id``.

    Raises:
        InvalidRequest: a line that is no such object, or an id that comes twice.
    """
    found: dict[str, dict[str, Any]] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            values = json.loads(line)
            id_ = values.pop("id")
        except (ValueError, AttributeError, KeyError, TypeError, RecursionError) as error:
            raise InvalidRequest(f'the metadata\'s line {number} is no JSON object with an "id": {error!r}') from error
        if not isinstance(id_, str) or id_ in found:
            raise InvalidRequest(f"the metadata's line {number} has the id {id_!r}: it must be a text, and new")
        found[id_] = values
    return found
