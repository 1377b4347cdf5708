"""A worker in an actor of a Ray cluster: what runs on a node."""

from __future__ import annotations

import socket
import time
from typing import Any

from ...export.bundle.errors import FramesiftError, ServerStartError
from .video import Made, Video
from .worker import Setting, Worker

# A call costs a millisecond, so it has several videos, as many as are made in such a time, and others come back.
_CALL_S = 0.1


class VideoActor:
    """A worker; in the place of one that can't start the reason why, with which every video is answered."""

    def __init__(self, setting: Setting, names: list[str], *contents: bytes) -> None:
        self._worker: Worker | FramesiftError
        try:
            self._worker = Worker(setting, dict(zip(names, contents, strict=True)))
        except FramesiftError as error:
            self._worker = error
        except OSError as error:
            self._worker = ServerStartError(f"a worker can't start on {socket.gethostname()}: {error}")

    def greeted(self) -> str:
        """The node that it is on."""
        import ray

        # Without ray's types there is nothing to ignore.
        context: Any = ray.get_runtime_context()
        return str(context.get_node_id())

    def make(self, videos: list[Video]) -> list[Made] | FramesiftError:
        """What became of the first of them, as many as there is time for; or what the next video would meet as well."""
        if isinstance(self._worker, FramesiftError):
            return self._worker
        until, found = time.monotonic() + _CALL_S, list[Made]()
        try:
            while not found or (len(found) < len(videos) and time.monotonic() < until):
                found.append(self._worker.make(videos[len(found)]))
        except FramesiftError as error:
            return error
        return found
