"""One answer to the rows of several searches, as the answers to each."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from ...export.bundle.errors import ServerError
from ...export.bundle.ports import ID_LENGTHS, IDS
from .upstream import Output


def rows_of(outputs: Sequence[Output], counts: Sequence[int]) -> list[list[Output]]:
    """The outputs of every search, as if it had been answered alone.

    Args:
        outputs: of all rows, in order.
        counts: the rows of each search.

    Raises:
        ServerError: the answer has other rows than were asked for.
    """
    total = sum(counts)
    if any(output.shape[0] != total for output in outputs):
        raise ServerError(f"the answer to {total} searches has other rows")
    if len(counts) == 1:
        return [list(outputs)]
    edges = list(itertools.pairwise(itertools.accumulate(counts, initial=0)))
    widths = _id_bytes(outputs)
    parts = [
        _ids(output, edges, widths) if output.name == IDS and widths else _slices(output, edges) for output in outputs
    ]
    return [list(found) for found in zip(*parts, strict=True)]


def _slices(output: Output, edges: Sequence[tuple[int, int]]) -> list[Output]:
    name, datatype, (rows, *rest), raw = output
    row = len(raw) // rows
    return [Output(name, datatype, [end - start, *rest], raw[start * row : end * row]) for start, end in edges]


def _id_bytes(outputs: Sequence[Output]) -> list[int]:
    """The bytes of every row's ids; empty where there are none."""
    lengths = next((output for output in outputs if output.name == ID_LENGTHS), None)
    if lengths is None:
        return []
    found: list[int] = np.frombuffer(lengths.raw, "<i4").reshape(tuple(lengths.shape)).sum(axis=1).tolist()
    return found


def _ids(output: Output, edges: Sequence[tuple[int, int]], widths: Sequence[int]) -> list[Output]:
    """Joined ids without the padding that only their neighbours' ids needed."""
    name, datatype, (rows, before), raw = output
    found = []
    for start, end in edges:
        width = min(before, max(1, *widths[start:end]))
        if end - start == 1:
            part = raw[start * before : start * before + width]
        else:
            table = np.frombuffer(raw, np.uint8).reshape(rows, before)
            part = memoryview(table[start:end, :width].tobytes())
        found.append(Output(name, datatype, [end - start, width], part))
    return found
