"""A process that dies at a named point: the kernel ends it at its next system call of a kind, as ``kill -9`` would.

Nothing is asked of the code that is killed. The filter holds for all threads, also those of libraries.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Mapping, Sequence

# Instructions of the kernel's packet filters: load a word, compare it with a constant, return.
_LOAD, _EQUAL, _MORE, _HAS, _RETURN = 0x20, 0x15, 0x25, 0x45, 0x06
_KILL, _ALLOW = 0x80000000, 0x7FFF0000
_PR_SET_NO_NEW_PRIVS, _SECCOMP, _MODE_FILTER, _ALL_THREADS = 38, 317, 1, 1
_NUMBER, _ARGUMENTS = 0, 16
# Threads wake one another with writes of eight bytes.
_LEAST_WRITTEN = 64

# Numbers of system calls on x86-64, each with its condition on an argument: the place, the instruction, the constant.
_Call = tuple[int, tuple[int, int, int] | None]
POINTS: Mapping[str, Sequence[_Call]] = {
    "file made": ((257, (2, _HAS, os.O_CREAT)), (2, (1, _HAS, os.O_CREAT)), (85, None)),
    "bytes written": ((1, (2, _MORE, _LEAST_WRITTEN)), (18, (2, _MORE, _LEAST_WRITTEN)), (20, None), (296, None)),
    "fsync": ((74, None), (75, None), (277, None), (26, None)),
    "commit": tuple((number, None) for number in (82, 264, 316, 86, 265)),
    "removal": tuple((number, None) for number in (87, 263, 84)),
}


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def die_at(point: str) -> None:
    """End this process when it next comes to one of ``POINTS``.

    Raises:
        OSError: the kernel has no such filters.
    """
    code = [_instruction(_RETURN, _ALLOW)]
    for number, condition in POINTS[point]:
        code = [*_rule(number, condition), *code]
    text = ctypes.create_string_buffer(b"".join(code))
    program = _Program(len(code), ctypes.addressof(text))
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if libc.syscall(_SECCOMP, _MODE_FILTER, _ALL_THREADS, ctypes.byref(program)):
        raise OSError(ctypes.get_errno(), "the kernel took no filter")


def _rule(number: int, condition: tuple[int, int, int] | None) -> list[bytes]:
    """Kill at the call; what it does not fit goes on behind."""
    if condition is None:
        return [_load(_NUMBER), _instruction(_EQUAL, number, 0, 1), _instruction(_RETURN, _KILL)]
    place, comparison, constant = condition
    return [
        _load(_NUMBER),
        _instruction(_EQUAL, number, 0, 3),
        _load(_ARGUMENTS + 8 * place),
        _instruction(comparison, constant, 0, 1),
        _instruction(_RETURN, _KILL),
    ]


def _load(offset: int) -> bytes:
    return _instruction(_LOAD, offset)


def _instruction(code: int, constant: int, fits: int = 0, differs: int = 0) -> bytes:
    return struct.pack("HBBI", code, fits, differs, constant)
