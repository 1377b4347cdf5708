"""What one device's failure means to the others."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from framesift.kernels.device.memory import NoRoom
from framesift.kernels.topk_attention.divided import DividedGallery

from ..waiting import LIMIT_S

SOURCE: Any = None


class Part:
    """A device that takes a gallery once it is let, or has no room for it, and notes what it is asked for."""

    def __init__(self, let: threading.Event | None = None) -> None:
        self.told: list[str] = []
        self._let = let

    def follow(self, source: Any, *, anew: bool) -> None:
        if self._let is None:
            raise NoRoom(1, 2, 1)
        assert self._let.wait(LIMIT_S)
        self.told.append("sent")

    def give_up(self) -> None:
        self.told.append("given up")


def test_no_device_is_given_up_while_it_is_sent_to() -> None:
    let = threading.Event()
    full, busy = Part(), Part(let)
    parts: list[Any] = [full, busy]
    threading.Timer(0.1, let.set).start()
    with pytest.raises(NoRoom):
        DividedGallery(parts).follow(SOURCE, anew=True)
    assert full.told == ["given up"]
    assert busy.told == ["sent", "given up"]
