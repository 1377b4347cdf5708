"""Freed memory, given back to the system."""

from __future__ import annotations

import ctypes


def give_back() -> None:
    """Have the C library return what it keeps of freed memory.

    glibc keeps blocks of up to 32 MB for the next of their size. A model's weights are such blocks, and in another
    dtype they have another size: without this an export has up to twice the memory that it uses. Where there is no
    glibc, nothing is done.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
