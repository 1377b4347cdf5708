"""What the kernel tells of this process's memory."""

from __future__ import annotations

from pathlib import Path

_STATUS = Path("/proc/self/status")


def own_bytes(name: str) -> int:
    """A figure of this process in bytes, by its name in ``/proc/self/status``: ``VmRSS``, ``VmHWM``, ``VmData``.

    Not ``getrusage``'s peak, which a new process inherits from the one that starts it.
    """
    for line in _STATUS.read_text(encoding="ascii").splitlines():
        key, _, value = line.partition(":")
        if key == name:
            return int(value.split()[0]) << 10
    raise AssertionError(f"the kernel doesn't tell {name}")
