"""What every replica of a gallery in shards shows, whoever is asked next by others."""

from __future__ import annotations

import select
import time
from contextlib import closing, suppress
from pathlib import Path

from framesift.serving.gallery.shards import shard_folders
from framesift.serving.gallery.store import Gallery
from framesift.serving.shards.connection import Connection, left
from framesift.serving.shards.directory import Directory
from framesift.serving.shards.messages import SEARCH, Message, pack, unpack
from framesift.serving.shards.shard import HEARD, VIEW, WRITES

_ANSWERS_S = 60.0


def all_follow(directory: Path, gallery: Path) -> bool:
    """Whether all replicas that there should be are told of, answer, and show all that their shard has."""
    told, newest = Directory.read(directory), [Gallery.existing(each).version for each in shard_folders(gallery)]
    if any(len(addresses) < told.replicas for addresses in told.addresses):
        return False
    with suppress(OSError):
        return all(
            _view(address, told.secret, writes=place == 0) >= version
            for addresses, version in zip(told.addresses, newest, strict=True)
            for place, address in enumerate(addresses)
        )
    return False


def answer_of(connection: Connection) -> Message:
    """What comes to what was asked last.

    Raises:
        OSError: nothing, or no answer.
    """
    until = time.monotonic() + _ANSWERS_S
    while True:
        select.select([connection], [], [], left(until))
        with suppress(BlockingIOError):
            if (raw := connection.arrived()) is not None:
                return unpack(raw)


def _view(address: str, secret: str, *, writes: bool) -> int:
    until = time.monotonic() + _ANSWERS_S
    with closing(Connection(address, secret, until)) as connection:
        connection.send(SEARCH, pack(Message([], {HEARD: 0, WRITES: writes})), until)
        return int(answer_of(connection).head.get(VIEW, 0))
