"""The options of a server whose gallery is in shards."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from ..export.bundle.dependent import Dependent
from .gallery.shard import MAX_REPLICAS, MAX_SHARDS

if TYPE_CHECKING:
    from .shards.cluster import Cluster

_NEEDS: Any = {"cls": Dependent, "needs": ("--cluster",)}
_OPTIONS = (
    click.option(
        "--cluster",
        envvar="FRAMESIFT_CLUSTER",
        show_envvar=True,
        metavar="ADDRESS",
        help="Search a gallery in shards on this Ray cluster; local starts one.",
    ),
    click.option(
        "--shards",
        **_NEEDS,
        envvar="FRAMESIFT_CLUSTER_SHARDS",
        show_envvar=True,
        type=click.IntRange(1, MAX_SHARDS),
        help="How many shards a new gallery on --cluster gets.",
    ),
    click.option(
        "--shard-deadline",
        **_NEEDS,
        envvar="FRAMESIFT_SHARD_DEADLINE",
        show_envvar=True,
        default=5.0,
        show_default=True,
        type=click.FloatRange(0, min_open=True),
        help="Seconds for a shard's answer.",
    ),
    click.option(
        "--shard-replicas",
        **_NEEDS,
        envvar="FRAMESIFT_SHARD_REPLICAS",
        show_envvar=True,
        default=1,
        show_default=True,
        type=click.IntRange(1, MAX_REPLICAS),
        help="Actors of each shard: searches take turns, and go on while one is away.",
    ),
    click.option(
        "--shard-gpus",
        **_NEEDS,
        envvar="FRAMESIFT_SHARD_GPUS",
        show_envvar=True,
        type=click.FloatRange(0),
        help="GPUs of each actor, or a share. [default: one with --device cuda, else none]",
    ),
)


def cluster_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--cluster`` and what goes with it, or variables of the environment; ``cluster_of`` reads them."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def cluster_of(
    cluster: str | None, shards: int | None, shard_deadline: float, shard_replicas: int, shard_gpus: float | None
) -> Cluster | None:
    """Where shards are searched; None without a cluster."""
    if not cluster:
        return None
    from .shards.cluster import Cluster

    return Cluster(cluster, shards, shard_deadline, shard_gpus, shard_replicas)
