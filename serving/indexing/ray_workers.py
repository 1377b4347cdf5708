"""Workers on the nodes of a Ray cluster."""

from __future__ import annotations

from concurrent.futures import Future
from pathlib import Path
from typing import Any

from ...export.bundle.errors import ServerUnavailable
from ...export.bundle.manifest import Manifest
from .files import contents
from .ray_actor import VideoActor
from .ray_cluster import GPU, check_gpus_each, connect, fits
from .ray_dispatch import EACH, MOST, Dispatch
from .video import Made, Video
from .worker import Setting

_START_S = 600.0


class RayWorkers:
    """Workers that are actors of a Ray cluster, which starts each again that ends, on whichever node has room.

    Attributes:
        count: how many there are.
        slots: how many videos to have under way, so that no worker waits for its next one.
    """

    def __init__(
        self, address: str, setting: Setting, manifest: Manifest, *, count: int | None, memory: int, gpus: float = 0.0
    ) -> None:
        """Connect to a cluster and start the actors; returns once one of them is ready.

        Args:
            address: of the cluster, as Ray takes it; ``local`` starts one on this machine, which ends with it.
            count: actors, if processors, memory and GPUs of the nodes allow so many; by default all that they do.
            memory: bytes that one takes at most, which its node sets aside.
            gpus: the share of a GPU that each takes.

        Raises:
            InvalidRequest: a share of GPUs that no actor can have.
            ServerUnavailable: no cluster answers, or it has no room for an actor.
        """
        check_gpus_each(gpus, "--gpus")
        self._ray = ray = connect(address)
        try:
            asked = {"CPU": 1.0, "memory": float(memory)} | ({GPU: gpus} if gpus else {})
            room = sum(fits(node["Resources"], asked) for node in ray.nodes() if node["Alive"])
            self.count = min(count or room, room)
            if not self.count:
                raise ServerUnavailable(
                    f"no node of the Ray cluster has room for a worker, which takes a processor, {memory >> 20} MiB of "
                    f"memory{f' and {gpus:g} GPUs' if gpus else ''}"
                )
            files = contents(Path(setting.folder), manifest)
            # An actor that is started again needs them again.
            self._shipped = [ray.put(content) for content in files.values()]
            kind: Any = ray.remote(max_restarts=-1, num_cpus=1, num_gpus=gpus, memory=memory)(VideoActor)
            actors = [kind.remote(setting, list(files), *self._shipped) for _ in range(self.count)]
            # So many wait here while actors have as many: a call is full.
            self.slots = 2 * EACH * MOST * self.count
            self._dispatch = Dispatch(ray, actors)
            if not self._dispatch.start(_START_S):
                raise ServerUnavailable(
                    f"no actor of the Ray cluster is ready after {_START_S:g} s: has it other work?"
                )
        except BaseException:
            ray.shutdown()
            raise

    def submit(self, video: Video) -> Future[Made]:
        """Have a video made by whichever actor is ready."""
        return self._dispatch.submit(video)

    def close(self) -> None:
        """End the actors, and the cluster where it was started here; what is under way is dropped."""
        self._dispatch.close()
        self._ray.shutdown()
