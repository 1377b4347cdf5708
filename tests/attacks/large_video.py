"""A video of 256 MiB: what it adds to the door, and to Triton server."""

from __future__ import annotations

from pathlib import Path

from .table import Row
from .target import Target, resident

SIZE = 255 << 20
MOST_DOOR, MOST_TRITON = 64 << 20, 8 << 20


def attack(target: Target) -> list[Row]:
    """Have one encoded, twice."""
    row = Row("a video of 256 MiB adds at most 64 MiB to the door and nothing to Triton server")
    small = target.clips[0].video.read_bytes()
    # Skipped by whoever reads the file.
    whole = small + SIZE.to_bytes(4, "big") + b"free" + bytes(SIZE - 8)
    pids = {"door": target.server.door_pid, "tritonserver": target.server.pid}
    with target.client(timeout_s=120) as client:
        client.encode_video(small)
        before = {name: _own(pid) for name, pid in pids.items()}
        for pid in pids.values():
            # Forget the peak so far.
            Path(f"/proc/{pid}/clear_refs").write_text("5")
        start = resident(pids["door"])
        for _ in range(2):
            client.encode_video(whole)
        door, triton = resident(pids["door"], "VmHWM") - start, _own(pids["tritonserver"]) - before["tritonserver"]
    row.see(door < MOST_DOOR, f"the door held {door >> 20} MiB more")
    row.see(triton < MOST_TRITON, f"Triton server holds {triton >> 20} MiB more")
    row.worst = f"door {door / (1 << 20):+.1f} MiB, tritonserver {triton / (1 << 20):+.1f} MiB"
    return [row]


def _own(pid: int) -> int:
    """Without the memory that is shared with models' processes."""
    return resident(pid, "RssAnon")
