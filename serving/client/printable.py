"""Names of files and videos on a terminal."""

from __future__ import annotations

import os


def printable(text: str | os.PathLike[str]) -> str:
    r"""A text as one line that every terminal shows.

    What is not printable is escaped: line breaks, control characters, and bytes of a file's name that are not UTF-8, as
    in ``b\xff.mp4``.
    """
    return "".join(map(_shown, os.fspath(text)))


def _shown(character: str) -> str:
    if character.isprintable():
        return character
    # How Python keeps a byte that is not UTF-8.
    if "\udc80" <= character <= "\udcff":
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")
