"""Wrong feature files through a served reader: each is read or refused, in bounded time and memory."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from framesift import Client
from framesift.errors import FramesiftError, InvalidFeatures
from framesift.export.build import eager_system
from framesift.export.bundle.features.tensors_file import write_tensors
from framesift.export.bundle.models import FEATURE_READER
from framesift.export.bundle.store import Bundle
from framesift.serving.serve import running

from ..bundle.feature_bombs import bombs, slow
from ..bundle.feature_files import npz
from ..small_systems import small_bundle
from .damage import damaged
from .reading import Sender
from .table import Progress, Row
from .target import Target

_SYSTEM = "howto100m"
_ALL_BOMBS = 1000


def attack(folder: Path, count: int, seed: int, progress: Progress) -> list[Row]:
    """So many damaged files, and every bomb, to a server of a small system that reads features."""
    bundle = small_bundle(_SYSTEM, folder)
    right = list(_right(bundle))
    with running(bundle, folder / "gallery") as server:
        target = Target(server, bundle, {}, [], (), folder)
        target.wait()
        with Client(server.address) as client:
            before = _encoded(client, right[0])

        def send(client: Client, file: bytes) -> None:
            client.encode_video(features=file, id="wrong")

        sender, made = Sender(target, FEATURE_READER, send, InvalidFeatures), bombs()
        # The one that takes the longest: it is given up.
        made["deflate's blocks without content"] = lambda: slow((120 if count >= _ALL_BOMBS else 10) << 20)
        rows = [
            *sender.send(_mutants(right, count, seed), "damaged features", progress),
            *sender.send(((name, make()) for name, make in made.items()), "bombs of features", lambda _: None),
        ]
        same = Row("features: the same right record afterwards")
        with Client(server.address) as client:
            same.see(_same(client, right, before), "another record came")
        return [*rows, same]


def _right(bundle: Bundle) -> Iterator[bytes]:
    arrays: dict[str, Any] = dict(eager_system(bundle).random_arrays(torch.Generator().manual_seed(3)))
    yield write_tensors(arrays)
    yield npz(arrays)
    yield npz(arrays, packed=True)


def _mutants(right: list[bytes], count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    random_ = random.Random(seed)
    for number in range(count):
        whole = right[number % len(right)]
        # What says where numbers lie stands at the ends.
        edge = random_.choice((len(whole), 300, 300))
        start = random_.choice((0, len(whole) - edge))
        part = damaged(whole[start : start + edge], random_)
        yield f"seed {seed}, number {number}", whole[:start] + part + whole[start + edge :] or b"\0"


def _encoded(client: Client, file: bytes) -> dict[str, Any]:
    return dict(client.encode_video(features=file).tensors)


def _same(client: Client, right: list[bytes], before: dict[str, Any]) -> bool:
    try:
        after = [_encoded(client, file) for file in right]
    except FramesiftError:
        return False
    return all(np.array_equal(one[name], before[name]) for one in after for name in before)
