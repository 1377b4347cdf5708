"""Writing to a file at an offset, until all is written."""

from __future__ import annotations

import os


def write_at(file: int, data: bytes | memoryview, place: int) -> None:
    """Write all of ``data``, bytes one after another, from the file's byte ``place`` on.

    The system may take less than it is given, and never takes more than 2 GiB. What is left is a view, not a copy.

    Raises:
        OSError: it can't be written; a part of it may be.
    """
    left = memoryview(data)
    while left:
        done = os.pwrite(file, left, place)
        left, place = left[done:], place + done
