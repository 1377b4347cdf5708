"""Which bytes of a file a request asks for: RFC 9110, section 14, of which players use single ranges."""

from __future__ import annotations

import re

_RANGE = re.compile(rb"bytes=(\d{0,18})-(\d{0,18})")


class Unsatisfiable(Exception):
    """A range behind the end of the file."""


def read_range(header: bytes | None, size: int, most: int) -> tuple[int, int] | None:
    """The first byte asked for and the one behind the last, at most ``most`` bytes of a file of ``size``.

    A server may send less of a range than was asked for; whoever wants more asks again.

    Returns:
        None where all is asked for: without a range, and with one that is not understood, which is to be ignored.

    Raises:
        Unsatisfiable: it lies behind the end.
    """
    found = None if header is None else _RANGE.fullmatch(header.replace(b" ", b""))
    if found is None or not (found[1] or found[2]):
        return None
    if not found[1]:
        # The last so many bytes.
        start, end = max(0, size - int(found[2])), size
    else:
        start, end = int(found[1]), min(size, int(found[2]) + 1) if found[2] else size
        if found[2] and int(found[2]) < start:
            return None
    if start >= size or start >= end:
        raise Unsatisfiable
    return start, min(end, start + most)
