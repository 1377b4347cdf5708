"""Metadata of videos as JSON lines."""

from __future__ import annotations

import codecs
import json
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
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


def for_ids(metadata: Mapping[str, Any], ids: Collection[str]) -> dict[str, Any]:
    """Metadata by the ids that there are.

    An id that isn't there gives its metadata to one that is written with other characters for the same letters: file
    names from macOS have accents apart from their letters (NFD), what people type has them together (NFC). Where two
    would be the same it is left as it is.
    """
    forms = Counter(map(_form, ids))
    written = {_form(id_): id_ for id_ in ids if forms[_form(id_)] == 1}
    found = {id_: values for id_, values in metadata.items() if id_ in ids}
    for id_, values in metadata.items():
        found.setdefault(id_ if id_ in ids else written.get(_form(id_), id_), values)
    return found


def _form(id_: str) -> str:
    return unicodedata.normalize("NFC", id_)
