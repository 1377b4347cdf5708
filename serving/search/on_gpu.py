"""Which galleries of plain vectors are scanned on a GPU where there is one, and what they take of it."""

from __future__ import annotations

from importlib.util import find_spec
from math import prod

from ...export.bundle.manifest import Manifest
from ...export.bundle.ports import SCORER, VIDEO_ENCODER
from ...export.bundle.scorers import scorer_of
from ...export.bundle.storages import is_coarse
from ...kernels.device.memory import RESERVED, search_bytes

# Bytes of a component.
_FLOAT16 = 2


def scanned_on_gpu(manifest: Manifest) -> bool:
    """Whether it is: by the Triton kernels, which need torch, read float16, and have no coarse stage.

    A coarse stage reads the processor's memory, where its candidates are.
    """
    if not scorer_of(manifest).gpu or is_coarse(manifest):
        return False
    return find_spec("torch") is not None and find_spec("triton") is not None


def scan_bytes(manifest: Manifest, records: int) -> int:
    """Bytes of so many records on a device, as a search reads them, and of its scores."""
    kept = {port.name for port in manifest.graphs[VIDEO_ENCODER].outputs}
    numbers = sum(prod(port.shape[1:]) for port in manifest.graphs[SCORER].inputs if port.name in kept)
    return _FLOAT16 * numbers * records + search_bytes(records) + RESERVED
