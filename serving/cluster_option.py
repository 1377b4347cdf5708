"""The options of a server whose gallery is in shards."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from .gallery.shard import MAX_SHARDS

if TYPE_CHECKING:
    from .shards.cluster import Cluster

_OPTIONS = (
    click.option(
        "--cluster", metavar="ADDRESS", help="Search a gallery in shards on this Ray cluster; local starts one."
    ),
    click.option(
        "--shards", type=click.IntRange(1, MAX_SHARDS), help="How many shards a new gallery on --cluster gets."
    ),
    click.option(
        "--shard-deadline",
        default=5.0,
        show_default=True,
        type=click.FloatRange(0, min_open=True),
        help="For a shard's answer, in seconds.",
    ),
    click.option(
        "--shard-gpus", default=0.0, show_default=True, type=click.FloatRange(0), help="GPUs of a shard, or a share."
    ),
)


def cluster_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--cluster`` and what goes with it; ``cluster_of`` reads them."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def cluster_of(cluster: str | None, shards: int | None, shard_deadline: float, shard_gpus: float) -> Cluster | None:
    """Where shards are searched; None without a cluster.

    Raises:
        click.UsageError: options for a cluster, and none.
    """
    from .shards.actors import Needs
    from .shards.cluster import Cluster

    if cluster is not None:
        return Cluster(cluster, shards, shard_deadline, Needs(gpus=shard_gpus))
    if shards is not None or shard_gpus:
        raise click.UsageError("--shards and --shard-gpus are for --cluster, which names a Ray cluster")
    return None
