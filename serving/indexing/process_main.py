"""A worker's process, seen from inside: a setting, then one video after another, over a socket from its parent."""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
from multiprocessing.connection import Connection

from ...export.bundle.errors import FramesiftError
from .worker import Worker


def main() -> None:
    """Make rows of the videos that come; the argument is the socket's number."""
    # Ctrl-C is for the parent, which says what becomes of it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    channel = Connection(int(sys.argv[1]))
    threading.Thread(target=_end_with, args=(channel.fileno(),), daemon=True).start()
    try:
        worker = Worker(channel.recv())
        channel.send(worker.peak())
        while True:
            channel.send(worker.make(channel.recv(), channel.send))
    except FramesiftError as error:
        channel.send(error)
    except EOFError:
        pass


def _end_with(channel: int) -> None:
    """End this process, and with it its decoder, when the parent ends."""
    watch = select.poll()
    watch.register(channel, 0)
    watch.poll()
    os._exit(0)
