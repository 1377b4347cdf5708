"""What the actors of shards take of the nodes of a Ray cluster, and where they are put."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ...export.bundle.errors import ServerUnavailable
from ..indexing.ray_cluster import GPU, fits

# A process beside its gallery's records.
_BESIDE = 400 << 20


@dataclass(frozen=True)
class Needs:
    """What an actor takes of a node: processors, and a share of a GPU; and how many ``replicas`` a shard has."""

    cpus: float = 1.0
    gpus: float = 0.0
    replicas: int = 1

    def options(self, size: int) -> dict[str, Any]:
        """What Ray is told of the actor of a gallery of so many bytes in memory."""
        return {
            "num_cpus": self.cpus,
            "num_gpus": self.gpus,
            "memory": _memory(size),
            "max_restarts": -1,
            "max_concurrency": 4,
        }

    def bundle(self, size: int) -> dict[str, float]:
        """The same as a part of a placement group."""
        own = {"CPU": self.cpus, "memory": float(_memory(size))}
        return {**own, GPU: self.gpus} if self.gpus else own


def places(needs: Needs, sizes: Sequence[int]) -> list[list[Any]]:
    """For every replica of every shard where Ray shall put it: replicas of one shard on several nodes, if it can."""
    if needs.replicas == 1:
        return [["SPREAD"] for _ in sizes]
    from ray.util.placement_group import placement_group
    from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

    groups = [placement_group([needs.bundle(size)] * needs.replicas, strategy="SPREAD") for size in sizes]
    return [
        [PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=place) for place in range(needs.replicas)]
        for group in groups
    ]


def check_gpus(ray: Any, needs: Needs, count: int) -> None:
    """Refuse a cluster of this machine that has not the GPUs for so many actors; others may grow.

    Raises:
        ServerUnavailable: the message says how many there are.
    """
    if not needs.gpus:
        return
    has = ray.cluster_resources()
    there, room = float(has.get(GPU, 0)), fits(has, {GPU: needs.gpus})
    if count > room:
        raise ServerUnavailable(
            f"{count} actors of shards take {needs.gpus * count:g} GPUs, this machine has {there:g}, which are enough "
            f"for {room}: give each a share of one with --shard-gpus, such as 0.5, or take processors"
        )


def _memory(size: int) -> int:
    return _BESIDE + 2 * size
