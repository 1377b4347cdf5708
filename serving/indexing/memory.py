"""What workers may take of a machine's memory: a bound for each, from which their number follows."""

from __future__ import annotations

import os
from pathlib import Path

from ...export.bundle.errors import InvalidRequest
from ...export.bundle.video.limits import VideoLimits
from ..client.films import PIECE_BYTES

# An idle decoder's process.
_DECODER = 160 << 20
# The file as it is read, and as the decoder gets it.
_FILE_TIMES = 2
# A piece of a large film as it comes, as it is read, and as the decoder gets it.
_PIECE_TIMES = 3
# What allocators keep between blocks in use.
_SPARE = 1.15
_MEMINFO, _GROUP = Path("/proc/meminfo"), Path("/sys/fs/cgroup")


def worker_bytes(peak: int, limits: VideoLimits, *, cuts: bool = False) -> int:
    """The most memory that a worker takes with its decoder, for any video within the limits.

    Args:
        peak: bytes that it holds once it has run the graph, whose shapes are the same for every video.
        cuts: whether films are cut, and large ones taken apart by a process of their own, piece by piece.
    """
    files = _FILE_TIMES * limits.max_bytes
    if cuts:
        pieces = _PIECE_TIMES * min(PIECE_BYTES, limits.max_bytes)
        files = max(files, pieces + _DECODER + limits.max_memory)
    return round(_SPARE * peak) + _DECODER + files + limits.max_memory


def how_many(each: int, jobs: int | None, free: int) -> int:
    """How many workers to start: ``jobs``, or as many as there are processors and as ``free`` bytes of memory hold.

    Raises:
        InvalidRequest: there is no memory for so many.
    """
    fit = free // each
    if fit < (jobs or 1):
        raise InvalidRequest(
            f"{jobs or 1} processes of {in_gib(each)} don't fit into the {in_gib(free)} of memory that are free: start "
            "fewer with --jobs, or lower a limit of videos, such as --video-limit bytes=64M --video-limit memory=256M"
        )
    return jobs or min(fit, processors())


def processors() -> int:
    """Processors that this process may use, within what its control group allows."""
    found = len(os.sched_getaffinity(0))
    try:
        quota, period = map(int, (_GROUP / "cpu.max").read_text(encoding="ascii").split())
    except (OSError, ValueError):
        return found
    return max(1, min(found, quota // period))


def free_bytes() -> int:
    """Memory that is free on this machine, within what its control group leaves."""
    lines = _MEMINFO.read_text(encoding="ascii").splitlines()
    free = next(int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable:"))
    try:
        limit = int((_GROUP / "memory.max").read_text(encoding="ascii"))
        # Without what is kept of files, and goes when room is needed.
        files = dict(line.split() for line in (_GROUP / "memory.stat").read_text(encoding="ascii").splitlines())
        taken = int((_GROUP / "memory.current").read_text(encoding="ascii")) - int(files["inactive_file"])
    except (OSError, ValueError, KeyError):
        return free
    return min(free, limit - taken)


def in_gib(count: int) -> str:
    """A number of bytes as text."""
    return f"{count / 2**30:.1f} GiB"
