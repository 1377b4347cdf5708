"""Whether a GPU can serve a bundle and its gallery, before a server is started."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ...export.bundle.engines.device import free_memory, local_device
from ...export.bundle.errors import ServerStartError
from ...export.bundle.manifest import Manifest
from ...export.bundle.ports import SCORER
from ...export.bundle.storages import storage_of
from ...export.bundle.store import Bundle
from ..search.device_room import devices_of, is_divided, lacking, searched_there, smaller
from ..search.topk_ranking import head_of

NO_GPU = "nvidia-smi finds no GPU here: leave --device out, and processors serve"
# What a graph takes of a GPU beside its weights: a CUDA context with its libraries, and intermediate values.
_OF_A_GRAPH = 1 << 30
_ENCODERS = 2


def check_gpu(manifest: Manifest, records: int | None, weights: int, free: Sequence[int] | None = None) -> str:
    """Refuse to serve on a GPU what it can't hold, or what the installed libraries can't run there.

    Args:
        manifest: of the bundle, with the deployment's storage and coarse stage.
        records: of the gallery: a film that is cut has one for each segment. None where others search it.
        weights: bytes of the encoders' graphs, see ``weights_of``.
        free: bytes free on every GPU; by default as nvidia-smi tells.

    Returns:
        Where what runs, in words.

    Raises:
        ServerStartError: there is no GPU, no library for it, or not enough memory; the message says what to do.
    """
    free = free_memory() if free is None else free
    if not free:
        raise ServerStartError(NO_GPU)
    towers = weights + _ENCODERS * _OF_A_GRAPH
    if (least := min(free)) < towers:
        raise ServerStartError(
            f"the encoders take {towers / 1e9:.1f} GB of every GPU, {least / 1e9:.1f} GB are free on one: name others "
            "by CUDA_VISIBLE_DEVICES, or leave --device out"
        )
    if records is None:
        return "encoders on the GPU"
    if not searched_there(manifest):
        return "encoders on the GPU, searches on the processor"
    if short := lacking(manifest, records, free, towers):
        beside = f"{towers / 1e9:.1f} of these for the encoders, "
        told = "; ".join(lack.told(beside) for lack in short)
        more = "more GPUs or larger ones" if is_divided(manifest) else "a GPU with more memory"
        raise ServerStartError(
            f"{records:,} videos don't fit: {told}. Take {more}{smaller(manifest)}, a smaller gallery, or processors "
            "(no --device)"
        )
    devices = devices_of(manifest, len(free))
    if devices < len(free):
        return f"encoders on {len(free)} GPUs, searches on the first"
    return f"encoders and searches on {'the GPU' if devices == 1 else f'{devices} GPUs'}"


def compile_kernels(manifest: Manifest, report: Callable[[str], None]) -> None:
    """Compile what searches on this machine's GPUs need, before a server starts that would be waited for.

    Raises:
        ServerStartError: a GPU that the kernels don't run on, or a kernel that can't be compiled.
    """
    device = local_device()
    if device is None or not is_divided(manifest):
        return
    from ...kernels.topk_attention.ahead import compile_all

    try:
        arch = int(device.capability.removeprefix("sm_"))
        compile_all(head_of(manifest), arch, report, int8=storage_of(manifest) == "int8")
    # A compiler's errors are of many classes.
    except Exception as error:
        raise ServerStartError(
            f"the kernels that search can't be compiled for {device.name}: {str(error)[:400]}. Serve without --device"
        ) from error


def weights_of(bundle: Bundle) -> int:
    """Bytes of what encodes."""
    return sum(bundle.graph(graph).stat().st_size for graph in bundle.manifest.graphs if graph != SCORER)


def check_libraries() -> None:
    """Refuse a machine without a GPU, and an environment whose ONNX Runtime is one for processors.

    Raises:
        ServerStartError: the message says what to install.
    """
    if not free_memory():
        raise ServerStartError(NO_GPU)
    import onnxruntime as ort

    from ..backends.onnxruntime import CUDA, NO_CUDA

    if CUDA not in ort.get_available_providers():
        raise ServerStartError(NO_CUDA)
