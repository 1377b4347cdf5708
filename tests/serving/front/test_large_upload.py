"""A large film that comes over HTTP passes through the door without being held by it."""

from __future__ import annotations

import pytest

from framesift.serving.client.sync import Client

from .asked_over_http import ask, settle
from .test_videos import arena, forget_peak, kib, padded

pytestmark = [pytest.mark.server, pytest.mark.slow]


@pytest.mark.parametrize("form", [False, True])
def test_a_large_film_adds_little_to_the_door(form: bool, server, client: Client, indexed: list) -> None:
    whole, kind = padded(indexed[0].video.read_bytes()), "application/octet-stream"
    if form:
        head = b'--edge\r\nContent-Disposition: form-data; name="video"; filename="large.mp4"\r\n\r\n'
        whole, kind = head + whole + b"\r\n--edge--\r\n", "multipart/form-data; boundary=edge"
    forget_peak(server.door_pid)
    before = kib(server.door_pid, "VmRSS")
    for _ in range(2):
        answer = ask(server.address, "/v1/videos?id=large.mp4", whole, Content_Type=kind)
        assert answer.status == 201, answer
    assert (kib(server.door_pid, "VmHWM") - before) >> 10 < 64
    assert arena(server) == 0
    client.delete(["large.mp4"])
    settle(client)
