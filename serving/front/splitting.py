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
    parts = [[_part(output, start, end) for output in outputs] for start, end in edges]
    return [_narrowed(part) for part in parts]


def _part(output: Output, start: int, end: int) -> Output:
    width = len(output.raw) // output.shape[0]
    return Output(
        output.name, output.datatype, [end - start, *output.shape[1:]], output.raw[start * width : end * width]
    )


def _narrowed(outputs: list[Output]) -> list[Output]:
    """Joined ids without the padding that only their neighbours' ids needed."""
    lengths = next((output for output in outputs if output.name == ID_LENGTHS), None)
    if lengths is None:
        return outputs
    rows = np.frombuffer(lengths.raw, "<i4").reshape(tuple(lengths.shape))
    width = max(1, int(rows.sum(axis=1).max(initial=0)))
    return [_cut(output, width) if output.name == IDS else output for output in outputs]


def _cut(ids: Output, width: int) -> Output:
    rows, before = ids.shape
    if width >= before:
        return ids
    raw = np.frombuffer(ids.raw, np.uint8).reshape(rows, before)[:, :width]
    return Output(ids.name, ids.datatype, [rows, width], memoryview(raw.tobytes()))
