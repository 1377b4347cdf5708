"""What health says while Triton server is dead. That searches go on then is one of the attacks (`tests/attacks`)."""

from __future__ import annotations

import os
import signal

import pytest

from framesift.serving.client.sync import Client

from ...waiting import until
from ..behind import all_loaded

pytestmark = pytest.mark.server


def test_health_says_when_searches_are_not_answered(server, client: Client, indexed: list) -> None:
    os.kill(server.pid, signal.SIGKILL)
    until(lambda: not client.ready())
    until(client.ready)
    assert client.search(indexed[0].captions[0], top=3).hits
    until(lambda: all_loaded(server))
