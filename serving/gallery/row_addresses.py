"""Where a row lies in its table, as Lance says it: a fragment's number, above 32 bits of the row's place in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Numbers = npt.NDArray[np.int64]

_PLACE_BITS = 32
_NONE = np.empty(0, np.int64)


def addresses_of(rows: pa.Table | pa.RecordBatch) -> Numbers:
    """The address of every row that was read with them, int64 [R]."""
    return np.asarray(rows.column("_rowaddr").to_numpy()).astype(np.int64)


def fragments_of(addresses: Numbers) -> Numbers:
    """The number of each row's fragment, int64 [R]."""
    return addresses >> _PLACE_BITS


def places_of(addresses: Numbers) -> Numbers:
    """The place of each row in its fragment, int64 [R]."""
    return addresses & ((1 << _PLACE_BITS) - 1)


def by_fragment(of: Sequence[int], addresses: Numbers, values: Numbers) -> Iterator[tuple[int, Numbers, Numbers]]:
    """The rows of each fragment: its number, their values, and their places in it."""
    where = fragments_of(addresses)
    order = np.argsort(where, kind="stable")
    each, starts = np.unique(where[order], return_index=True)
    found = dict(zip(each.tolist(), np.split(order, starts[1:]), strict=True)) if len(each) else {}
    for number in of:
        rows = found.get(number, _NONE)
        yield number, values[rows], places_of(addresses[rows])
