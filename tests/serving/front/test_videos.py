"""A large video passes through the door without being held by it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from framesift.export.bundle.errors import InvalidVideo
from framesift.serving.client.sync import Client

from ...waiting import until

pytestmark = pytest.mark.server
SIZE = 128 << 20


def padded(video: bytes) -> bytes:
    """The same MP4 with a box that is skipped."""
    return video + SIZE.to_bytes(4, "big") + b"free" + bytes(SIZE - 8)


def kib(pid: int, field: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))


def forget_peak(pid: int) -> None:
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def arena(server) -> int:
    """The bytes of shared memory that large requests fill at present."""
    files = Path("/dev/shm").glob(f"{server.shared_memory_prefix}arena-*")
    return sum(path.stat().st_blocks for path in files) * 512


def test_a_large_video_adds_little_to_the_door_and_nothing_to_triton_server(
    server, client: Client, indexed: list
) -> None:
    small = indexed[0].video.read_bytes()
    whole = padded(small)
    want = client.encode_video(small)
    forget_peak(server.door_pid)
    door, triton = kib(server.door_pid, "VmRSS"), kib(server.pid, "RssAnon")
    for _ in range(2):
        found = client.encode_video(whole, timeout_s=120)
    assert (kib(server.door_pid, "VmHWM") - door) >> 10 < 64
    assert (kib(server.pid, "RssAnon") - triton) >> 10 < 32
    for name, tensor in want.tensors.items():
        np.testing.assert_allclose(found.tensors[name], tensor, atol=1e-5)
    assert arena(server) == 0


def test_more_large_videos_than_there_is_room_for_wait_for_it(server, client: Client, indexed: list) -> None:
    videos = [bytes([number]) * (4 << 20) for number in range(24)]

    def refused(video: bytes) -> bool:
        with pytest.raises(InvalidVideo, match="unknown or unsupported format"):
            client.encode_video(video, timeout_s=120)
        return True

    with ThreadPoolExecutor(len(videos)) as pool:
        assert all(pool.map(refused, videos))
    until(lambda: not arena(server))


def test_who_breaks_a_large_upload_off_gives_its_room_back(server, client: Client, indexed: list) -> None:
    whole = padded(indexed[0].video.read_bytes())
    for _ in range(6):
        with pytest.raises(Exception, match=r"within|cancel"):
            client.encode_video(whole, timeout_s=0.05)
    assert client.encode_video(whole, timeout_s=120).tensors
    until(lambda: not arena(server))
