"""Whether a gallery is searched on GPUs, and what that takes of them. Nothing here imports torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec

from ...export.bundle.manifest import Manifest
from ...export.bundle.scorers import scorer_of
from ...export.bundle.storages import is_coarse, storage_of
from ...kernels.cuda.share import Share
from ...kernels.device.memory import RESERVED, gallery_bytes, search_bytes
from ...kernels.topk_attention.certified import memory as int8
from .on_gpu import scan_bytes, scanned_on_gpu
from .topk_ranking import head_of

# Bytes of a component of a gallery that is searched on a GPU.
_FLOAT16 = 2


@dataclass(frozen=True)
class Lack:
    """A GPU without room for its share of a gallery.

    Attributes:
        number: of the GPU.
        videos: of the gallery that would be there.
        needed, room: bytes.
    """

    number: int
    videos: int
    needed: int
    room: int

    def told(self, beside: str = "") -> str:
        """In words, with what else is in the bytes that are needed."""
        return (
            f"GPU {self.number} needs {self.needed / 1e9:.1f} GB for {self.videos:,} of them, {beside}and "
            f"{self.room / 1e9:.1f} GB are free"
        )


def has_kernel(manifest: Manifest) -> bool:
    """Whether Triton kernels search a bundle's gallery as it is kept, on machines that have what these need.

    A coarse stage reads the processor's memory, where its candidates are.
    """
    return not is_coarse(manifest) and (_is_fused(manifest) or scorer_of(manifest).gpu)


def searched_there(manifest: Manifest) -> bool:
    """Whether a gallery is searched on a GPU where there is one, by what is installed here."""
    return is_divided(manifest) or scanned_on_gpu(manifest)


def is_divided(manifest: Manifest) -> bool:
    """Whether a gallery is searched on all GPUs together: by kernels that triton compiles, and that need no torch."""
    return _is_fused(manifest) and not is_coarse(manifest) and find_spec("triton") is not None


def devices_of(manifest: Manifest, count: int) -> int:
    """On how many of so many GPUs a gallery is searched; one that is not divided is on the first."""
    return count if is_divided(manifest) else 1


def lacking(manifest: Manifest, records: int, free: Sequence[int], beside: int = 0) -> list[Lack]:
    """The GPUs that can't hold their share of a gallery of so many records, of the deployment's storage.

    Args:
        free: bytes free on every GPU.
        beside: bytes that something else takes of each.
    """
    devices, found = devices_of(manifest, len(free)), list[Lack]()
    for number, room in enumerate(free[:devices]):
        share = Share(number, devices).count(records)
        needed = _bytes(manifest, share) + beside
        if needed > room:
            found.append(Lack(number, share, needed, room))
    return found


def smaller(manifest: Manifest) -> str:
    """What a message may offer where a gallery doesn't fit: a storage that takes less, where there is one."""
    able = is_divided(manifest) and storage_of(manifest) != "int8" and manifest.options.get("heads") == 1
    return ", --storage int8, which takes little more than half" if able else ""


def _bytes(manifest: Manifest, videos: int) -> int:
    """Bytes that a GPU's share of a gallery takes with its searches."""
    if storage_of(manifest) == "int8":
        shape = head_of(manifest)
        return int8.gallery_bytes(videos, shape) + int8.search_bytes(videos, shape) + RESERVED
    if not is_divided(manifest):
        return scan_bytes(manifest, videos)
    shape = head_of(manifest)
    vectors = (shape.streams, shape.frames, shape.width)
    return gallery_bytes(videos, vectors, shape.rows, _FLOAT16) + search_bytes(videos) + RESERVED


def _is_fused(manifest: Manifest) -> bool:
    return scorer_of(manifest).search == "topk_attention"
