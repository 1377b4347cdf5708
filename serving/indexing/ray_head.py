"""Whether the head of a Ray cluster still answers. Ray ends a process that lacks it for a minute, without a word."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from ...export.bundle.errors import ServerUnavailable
from .ray_cluster import look_for

_LOOK_S = 5.0


class HeadWatch:
    """Looks for the head of the cluster that this process is connected to, in a thread of its own until ``close``.

    Args:
        ray: Ray's module.
        patience_s: for how long it may be away.
        lost: called with words once it was away for so long; and again where it was back in between.
    """

    def __init__(self, ray: Any, patience_s: float, lost: Callable[[str], object]) -> None:
        self._address = str(ray.get_runtime_context().gcs_address)
        self._patience_s, self._lost = patience_s, lost
        self._stopping = threading.Event()
        threading.Thread(target=self._look, name="ray-head", daemon=True).start()

    def close(self) -> None:
        """Look no more."""
        self._stopping.set()

    def _look(self) -> None:
        seen, told = time.monotonic(), False
        while not self._stopping.wait(min(_LOOK_S, self._patience_s)):
            try:
                look_for(self._address)
                seen, told = time.monotonic(), False
            except ServerUnavailable as error:
                if not told and time.monotonic() - seen >= self._patience_s and not self._stopping.is_set():
                    told = True
                    self._lost(f"the head of the Ray cluster is gone: {error}")
