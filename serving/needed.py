"""How much memory a served bundle takes, roughly: to be told before a kernel tells it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ..export.bundle.storage_names import Storage

# Triton server, its backends' processes and its keeper, of a model whose weights and gallery are nothing.
_PROCESSES = 900 << 20
# A graph is held as it lies on disk and as the runtime has packed it, and the scorer's in two processes.
_WEIGHTS = 2.5
_STORED = {"float16": 1.0, "int8": 0.6}


def needed(graphs: Iterable[Path], records: int, storage: Storage) -> int:
    """Bytes of memory of a server.

    Args:
        graphs: their files.
        records: bytes of the gallery's records as they are kept on disk.
    """
    weights = sum(path.stat().st_size for path in graphs)
    return _PROCESSES + round(_WEIGHTS * weights) + round(_STORED[storage] * records)
