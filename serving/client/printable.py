"""Names of files and videos on a terminal."""

from __future__ import annotations

import json
import os
from typing import Any


def printable(text: str | os.PathLike[str]) -> str:
    r"""A text as one line that every terminal shows.

    What is not printable is escaped: line breaks, control characters, and bytes of a file's name that are not UTF-8, as
    in ``b\xff.mp4``.
    """
    return "".join(map(_shown, os.fspath(text)))


def json_line(value: Any) -> str:
    r"""A value of JSON's types as one line that every terminal shows, with what is not printable as ``\u009b`` is here.

    Metadata is anybody's, and some terminals take such characters for orders.
    """
    text = json.dumps(value, ensure_ascii=False)
    # Outside of its texts JSON is printable.
    return text if text.isprintable() else "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)


def _shown(character: str) -> str:
    if character.isprintable():
        return character
    # How Python keeps a byte that is not UTF-8.
    if "\udc80" <= character <= "\udcff":
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")
