"""Shards as actors of a Ray cluster, which places them, and starts each again that ends, on whichever node has room."""

from __future__ import annotations

import logging
import os
import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from ... import __version__
from ...export.bundle.errors import BundleError, FramesiftError, GalleryError, ServerUnavailable
from ...export.bundle.scratch import scratch_folder
from ..indexing.ray_cluster import connect
from .connection import SECRET_BYTES
from .directory import Directory
from .service import Service
from .shard import Shard

_START_S = 600.0
_LOOK_S = 5.0
_CLOSE_S = 10.0
# What passes by itself, and what another try on another node may mend.
_PAUSE_S, _ANEW_S = 0.1, 5.0
# A process beside its gallery's records, and the object store of a cluster of this machine alone: nothing is put there
# but a bundle's scorer.
_BESIDE, _STORE = 400 << 20, 80 << 20
_PREFIX = "framesift-shard-"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Setting:
    """How an actor is to work.

    Attributes:
        gallery: the shard's folder, the same on all nodes that may hold it.
        secret: what its callers know.
        gpu: whether it searches on the first GPU that it sees.
        version: of framesift, where this was made.
    """

    gallery: str
    secret: str
    gpu: bool
    version: str = field(default=__version__)


@dataclass(frozen=True)
class Needs:
    """What an actor takes of a node: processors, and a share of a GPU."""

    cpus: float = 1.0
    gpus: float = 0.0


class Actors:
    """The actors of all shards, one each, from ``with`` on; they end with the block.

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
        self._path, self._secret, self._count = directory, secrets.token_hex(SECRET_BYTES // 2), len(galleries)
        self._changing, self._stopping = threading.Lock(), threading.Event()
        cpus = max(os.cpu_count() or 1, int(needs.cpus * self._count + 1))
        self._ray = ray = connect(address, num_cpus=cpus, object_store_memory=_STORE)
        try:
            kind: Any = ray.remote(_Actor)
            self._actors = [
                kind.options(
                    num_cpus=needs.cpus,
                    num_gpus=needs.gpus,
                    memory=_BESIDE + 2 * size,
                    max_restarts=-1,
                    max_concurrency=4,
                    scheduling_strategy="SPREAD",
                ).remote(Setting(str(folder.absolute()), self._secret, needs.gpus > 0), list(files), *files.values())
                for folder, size in galleries.items()
            ]
            self._addresses = self._started(report)
        except BaseException:
            ray.shutdown()
            raise

    def __enter__(self) -> Actors:
        self._tell()
        self._threads = [
            threading.Thread(target=self._watch, args=[shard], name=f"shard-{shard}", daemon=True)
            for shard in range(self._count)
        ]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._ray.wait([actor.close.remote() for actor in self._actors], num_returns=self._count, timeout=_CLOSE_S)
        for actor in self._actors:
            self._ray.kill(actor)
        for thread in self._threads:
            thread.join(_CLOSE_S)
        self._ray.shutdown()

    def _started(self, report: Callable[[str], object]) -> list[str]:
        asked = [actor.where.remote() for actor in self._actors]
        waited = 0.0
        while True:
            ready, late = self._ray.wait(asked, num_returns=self._count, timeout=_LOOK_S)
            if not late:
                try:
                    return [self._told(answer) for answer in self._ray.get(asked)]
                except self._ray.exceptions.RayError as error:
                    told = " ".join(str(error).split())
                    raise ServerUnavailable(f"a shard's actor ended while it started: {told:.300}") from error
            waited += _LOOK_S
            report(f"{waited:6.0f} s  {len(ready)} of {self._count} shards are ready")
            if waited >= _START_S:
                raise ServerUnavailable(
                    f"{len(late)} of {self._count} shards are not ready after {_START_S:g} s: has the Ray cluster room "
                    "for them? Each takes the processors, memory and GPUs that `ray status` shows as pending"
                )

    @staticmethod
    def _told(answer: str | FramesiftError) -> str:
        if isinstance(answer, FramesiftError):
            raise answer
        return answer

    def _watch(self, shard: int) -> None:
        """Tell the models where a shard is whenever it has moved; in a thread of its own."""
        actor, lost = self._actors[shard], self._ray.exceptions.RayError
        while not self._stopping.is_set():
            try:
                self._ray.get(actor.stay.remote())
            except lost as error:
                if self._stopping.is_set():
                    return
                _log.warning("shard %d has ended: %.200s", shard, str(error).partition("\n")[0])
            self._move(shard, "")
            address = ""
            while not address and not self._stopping.wait(_PAUSE_S):
                address = self._found(actor, shard)
            self._move(shard, address)

    def _found(self, actor: Any, shard: int) -> str:
        """Where a shard is that was started again; empty where it is not there yet."""
        try:
            answer = self._ray.get(actor.where.remote())
        except self._ray.exceptions.RayError:
            return ""
        if not isinstance(answer, FramesiftError):
            return str(answer)
        _log.error("shard %d can't be searched: %s", shard, answer)
        # Another node may have what this one lacks.
        self._stopping.wait(_ANEW_S)
        self._ray.kill(actor, no_restart=False)
        return ""

    def _move(self, shard: int, address: str) -> None:
        with self._changing:
            self._addresses[shard] = address
            self._tell()

    def _tell(self) -> None:
        if not self._stopping.is_set():
            Directory(self._secret, self._addresses).write(self._path)


class _Actor:
    """A shard, and the port at which it answers; in the place of one that can't be searched the reason why."""

    def __init__(self, setting: Setting, names: Sequence[str], *contents: bytes) -> None:
        self._held = ExitStack()
        self._where: str | FramesiftError
        try:
            self._where = self._serve(setting, dict(zip(names, contents, strict=True)))
        except FramesiftError as error:
            self._where = error
        except OSError as error:
            self._where = GalleryError(f"{setting.gallery} can't be searched here: {error}")

    def where(self) -> str | FramesiftError:
        """Host and port."""
        return self._where

    def stay(self) -> None:
        """Return never: whoever waits for it learns of the actor's end."""
        threading.Event().wait()

    def close(self) -> None:
        """End what is under way."""
        self._held.close()

    def _serve(self, setting: Setting, files: Mapping[str, bytes]) -> str:
        if setting.version != __version__:
            raise BundleError(
                f"this machine has framesift {__version__}, the server {setting.version}: install the same on all"
            )
        import ray

        folder = self._held.enter_context(scratch_folder(Path(os.environ.get("TMPDIR", "/tmp")), _PREFIX))
        for name, content in files.items():
            (folder / name).write_bytes(content)
        shard = Shard(folder, Path(setting.gallery), 0 if setting.gpu else None)
        self._held.callback(shard.close)
        # Without ray's types there is nothing to ignore.
        util: Any = ray.util
        host: str = util.get_node_ip_address()
        service = Service(shard, host, setting.secret)
        self._held.callback(service.close)
        return f"{host}:{service.port}"
