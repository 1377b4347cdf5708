"""Shards as actors of a Ray cluster, which places them, and starts each again that ends, on whichever node has room."""

from __future__ import annotations

import logging
import os
import secrets
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from ...export.bundle.errors import FramesiftError, ServerUnavailable
from ..gallery.shard import Shard
from ..indexing.ray_cluster import LOCAL, connect
from ..indexing.ray_head import HeadWatch
from .actor import Setting, ShardActor
from .connection import SECRET_BYTES
from .herald import Herald
from .needs import Needs, check_gpus, places

_START_S = 600.0
_LOOK_S = 5.0
_CLOSE_S = 10.0
# What passes by itself, and what another try on another node may mend.
_PAUSE_S, _ANEW_S = 0.1, 5.0
# The object store of a cluster of this machine alone: nothing is put there but a bundle's scorer.
_STORE = 80 << 20
_HEAD_S = 10.0
_log = logging.getLogger(__name__)


class Actors:
    """The actors of all shards, one for each replica, from ``with`` on; they end with the block.

    Args:
        address: of the cluster, as Ray takes it; ``local`` starts one on this machine, which ends with it.
        galleries: the shards' folders, with the bytes of their records.
        files: of the bundle, by name: what a shard's search reads.
        directory: the file that tells the models where they answer.
        report: called with a line while they start.

    Raises:
        ServerUnavailable: no cluster answers, or it has no room for all of them.
        FramesiftError: a shard can't be searched.
    """

    def __init__(
        self,
        address: str,
        galleries: Mapping[Path, int],
        files: Mapping[str, bytes],
        directory: Path,
        report: Callable[[str], object],
        needs: Needs,
    ) -> None:
        secret = secrets.token_hex(SECRET_BYTES // 2)
        self._stopping = threading.Event()
        self._herald = Herald(directory, secret, len(galleries), needs.replicas)
        self._shards = [shard for shard in range(len(galleries)) for _ in range(needs.replicas)]
        cpus = max(os.cpu_count() or 1, int(needs.cpus * len(self._shards) + 1))
        self._ray = ray = connect(address, num_cpus=cpus, object_store_memory=_STORE)
        try:
            if address == LOCAL:
                check_gpus(ray, needs, len(self._shards))
            kind: Any = ray.remote(ShardActor)
            put = places(needs, [*galleries.values()])
            settings = [
                Setting(str(folder.absolute()), Shard(number, len(galleries)), secret, needs.gpus)
                for number, folder in enumerate(galleries)
            ]
            self._actors = [
                kind.options(**needs.options(size), scheduling_strategy=place).remote(
                    setting, list(files), *files.values()
                )
                for setting, size, own in zip(settings, galleries.values(), put, strict=True)
                for place in own
            ]
            for actor, found in enumerate(self._started(report)):
                self._herald.is_at(self._shards[actor], actor, found)
            self._herald.begin()
            self._head = HeadWatch(ray, _HEAD_S, self._headless)
        except BaseException:
            ray.shutdown()
            raise

    def __enter__(self) -> Actors:
        self._threads = [
            threading.Thread(target=self._watch, args=[actor], name=f"shard-actor-{actor}", daemon=True)
            for actor in range(len(self._actors))
        ]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._head.close()
        self._herald.end()
        closing = [actor.close.remote() for actor in self._actors]
        self._ray.wait(closing, num_returns=len(closing), timeout=_CLOSE_S)
        for actor in self._actors:
            self._ray.kill(actor)
        for thread in self._threads:
            thread.join(_CLOSE_S)
        self._ray.shutdown()

    @staticmethod
    def _headless(told: str) -> None:
        _log.error(
            "%s. Searches go on; a shard that ends is not started again, and in a minute Ray ends this server", told
        )

    def _started(self, report: Callable[[str], object]) -> list[str]:
        asked = [actor.where.remote() for actor in self._actors]
        waited, count = 0.0, len(asked)
        while True:
            ready, late = self._ray.wait(asked, num_returns=count, timeout=_LOOK_S)
            if not late:
                try:
                    return [self._told(answer) for answer in self._ray.get(asked)]
                except self._ray.exceptions.RayError as error:
                    told = " ".join(str(error).split())
                    raise ServerUnavailable(f"a shard's actor ended while it started: {told:.300}") from error
            waited += _LOOK_S
            report(f"{waited:6.0f} s  {len(ready)} of {count} actors of shards are ready")
            if waited >= _START_S:
                raise ServerUnavailable(
                    f"{len(late)} of {count} actors of shards are not ready after {_START_S:g} s: has the Ray cluster "
                    "room for them? Each takes the processors, memory and GPUs that `ray status` shows as pending"
                )

    @staticmethod
    def _told(answer: str | FramesiftError) -> str:
        if isinstance(answer, FramesiftError):
            raise answer
        return answer

    def _watch(self, number: int) -> None:
        """Tell the models where a shard's actor is whenever it has moved; in a thread of its own."""
        actor, shard, lost = self._actors[number], self._shards[number], self._ray.exceptions.RayError
        while not self._stopping.is_set():
            try:
                self._ray.get(actor.stay.remote())
            except lost as error:
                if self._stopping.is_set():
                    return
                _log.warning("an actor of shard %d has ended: %.200s", shard, str(error).partition("\n")[0])
            self._herald.is_gone(shard, number)
            address = ""
            while not address and not self._stopping.wait(_PAUSE_S):
                address = self._found(actor, shard)
            if address:
                self._herald.is_at(shard, number, address)

    def _found(self, actor: Any, shard: int) -> str:
        """Where an actor is that was started again; empty where it is not there yet."""
        try:
            answer = self._ray.get(actor.where.remote())
        except self._ray.exceptions.RayError:
            return ""
        if not isinstance(answer, FramesiftError):
            return str(answer)
        _log.error("shard %d can't be searched: %s", shard, answer)
        self._herald.cannot(shard, answer)
        # Another node may have what this one lacks.
        self._stopping.wait(_ANEW_S)
        self._ray.kill(actor, no_restart=False)
        return ""
