"""Whether a GPU can serve a bundle and its gallery, before a server is started."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec

from ...export.bundle.engines.device import free_memory
from ...export.bundle.errors import ServerStartError
from ...export.bundle.manifest import Manifest
from ...export.bundle.ports import FRAME_VECTORS, GRAM_TABLE, SCORER, VIDEO_ENCODER
from ...export.bundle.scorers import scorer_of
from ...export.bundle.storages import is_coarse, storage_of
from ...export.bundle.store import Bundle
from ...kernels.topk_attention.device_memory import NoRoom, check_room

NO_GPU = "nvidia-smi finds no GPU here: leave --device out, and processors serve"
# What a graph takes of a GPU beside its weights: a CUDA context with its libraries, and intermediate values.
_OF_A_GRAPH = 1 << 30
_ENCODERS = 2
# Bytes of a component of a gallery that is searched on a GPU.
_FLOAT16 = 2


def check_gpu(manifest: Manifest, records: int, weights: int, free: Sequence[int] | None = None) -> str:
    """Refuse to serve on a GPU what it can't hold, or what the installed libraries can't run there.

    Args:
        manifest: of the bundle, with the deployment's storage and coarse stage.
        records: of the gallery: a film that is cut has one for each segment.
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
    if not searched_there(manifest):
        return "encoders on the GPU, searches on the processor"
    shape, rows = record_shape(manifest)
    try:
        check_room(records, shape, rows, _FLOAT16, free[0] - towers)
    except NoRoom as error:
        raise ServerStartError(
            f"the gallery doesn't fit on the first GPU, which holds it whole: {error}, beside {towers / 1e9:.1f} GB "
            "for the encoders. Take a GPU with more memory, a smaller gallery, or processors (no --device)"
        ) from error
    return "encoders and searches on the GPU"


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


def searched_there(manifest: Manifest) -> bool:
    """Whether a bundle's gallery is searched on a GPU where there is one: by the Triton kernels, which need torch."""
    fused = scorer_of(manifest).search == "topk_attention"
    if not fused or storage_of(manifest) == "int8" or is_coarse(manifest):
        return False
    return find_spec("torch") is not None and find_spec("triton") is not None


def record_shape(manifest: Manifest) -> tuple[tuple[int, ...], int]:
    """[S, F, D] of a video's frame vectors, and the rows of its table."""
    ports = {port.name: port.shape[1:] for port in manifest.graphs[VIDEO_ENCODER].outputs}
    return tuple(ports[FRAME_VECTORS]), int(ports[GRAM_TABLE][0])
