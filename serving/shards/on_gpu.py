"""A shard that searches on GPUs of its node, by the ranker and the kernels of one server's ``--device cuda``."""

from __future__ import annotations

from collections.abc import Sequence

from ...export.bundle.engines.device import free_memory, whole_memory
from ...export.bundle.errors import BundleError, ServerStartError
from ...export.bundle.manifest import Manifest
from ..indexing.ray_cluster import check_gpus_each
from ..search.device_room import has_kernel, lacking, searched_there, smaller

_LEAVE = "leave --device and --shard-gpus out, and processors search"


def gpus_of(manifest: Manifest, asked: float | None, *, cuda: bool) -> float:
    """The GPUs of a shard's actor: as many as are asked for, and else one where encoders are on GPUs and it can use it.

    Raises:
        InvalidRequest: neither a share of one nor a whole number.
        BundleError: some are asked for, and this bundle's gallery is searched by processors.
    """
    check_gpus_each(asked or 0.0, "--shard-gpus")
    if asked and not has_kernel(manifest):
        raise BundleError(
            f"{manifest.system} has no kernel that searches a gallery that is kept so on a GPU: leave --shard-gpus out"
        )
    if asked is None:
        return 1.0 if cuda and has_kernel(manifest) else 0.0
    return asked


def check_node(
    manifest: Manifest, records: int, gpus: float, free: Sequence[int] | None = None, whole: Sequence[int] | None = None
) -> None:
    """Refuse a node whose GPUs can't search a shard of so many records.

    Args:
        gpus: that the actor takes. Of a GPU that it shares its memory counts by that share, however much is free at
            present: who has the rest may not have taken it yet.
        free: bytes free on every GPU that Ray has given to this process; by default as nvidia-smi tells.
        whole: bytes of each.

    Raises:
        ServerStartError: it has no GPU, no libraries for it, or not enough memory; the message says what to do.
    """
    free = free_memory() if free is None else free
    if not free:
        raise ServerStartError(f"a shard is to search on a GPU, and nvidia-smi finds none on this node: {_LEAVE}")
    if not searched_there(manifest):
        raise ServerStartError(
            f"a shard is to search on a GPU, which takes torch and triton on every node, or {_LEAVE}"
        )
    part, more = "its GPUs", ""
    if gpus < 1:
        whole = (whole_memory() if whole is None else whole) or free
        free = [min(left, int(gpus * every)) for left, every in zip(free, whole, strict=True)]
        part, more = f"its share of a GPU, {gpus:g} of {whole[0] / 1e9:.1f} GB", ", give each a larger share"
    if short := lacking(manifest, records, free):
        told = "; ".join(lack.told() for lack in short)
        raise ServerStartError(
            f"the {records:,} videos of a shard don't fit on {part}: {told}. Split the gallery into more shards"
            f"{more}{smaller(manifest)}, or {_LEAVE}"
        )


def not_searched() -> ServerStartError:
    """Of a node where kernels don't run."""
    return ServerStartError(
        f"a shard is to search on a GPU, and this node's can't, see the log of its actor: mend that, or {_LEAVE}"
    )
