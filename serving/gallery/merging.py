"""Merging small fragments of a table into sealed ones, which are not written again until much of them is removed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from .table import INDEX, PIECE, Part, drop_files, index_ids, parts

# A sealed fragment: large enough that few are left, small enough that writers can wait while one is merged.
SEALED_BYTES = 256 << 20
_MOST_ROWS, _LEAST_ROWS = 65_536, 1024
# Fragments are merged by sizes, so that a row is written about once for each, however large the table is: those of less
# than a share of a sealed one's rows, when there are more than so many. What has half of them is sealed.
_STEPS = ((64, 64), (8, 8), (2, 8))
# A fragment is written again when this share of its rows is removed.
_DEAD_SHARE = 0.1
# What was written again lies there twice until old versions go: in that time no more than this share of the table is,
# but for fragments with so much removed that waiting would cost as much.
_SHARE_AT_ONCE, _MUCH_DEAD = 1 / 8, 0.35
# Writers wait for merges of up to so many bytes from the start, a tenth of a second.
_BRIEF = 16 << 20
_TRIES = 2
# What Lance says of a commit that another one has made void. Where it says that it can't tell, the commit may stand.
_VOID = "commit conflict for version"
# The index' small piece is this share of the large one at most.
_INDEX_SHARE = 8

Lock = Callable[[], AbstractContextManager[None]]


def sealed_rows(row_bytes: int) -> int:
    """Rows of a fragment that is sealed."""
    return max(_LEAST_ROWS, min(_MOST_ROWS, SEALED_BYTES // max(1, row_bytes)))


@dataclass(frozen=True)
class Merge:
    """Fragments to be merged where they are neighbours, into ones of so many rows."""

    fragments: frozenset[int]
    rows: int


def due(held: Mapping[int, Part], sealed: int, written: int = 0) -> Merge | None:
    """What should be merged now; None where there is nothing to do.

    Args:
        written: rows of fragments that were written again, of which the old ones are still there.
    """
    for divisor, many in reversed(_STEPS):
        limit = max(2, sealed // divisor)
        least = max((sealed // more for more, _ in _STEPS if more > divisor), default=0)
        if sum(least <= part.rows < limit for part in held.values()) > many:
            small = frozenset(part.number for part in held.values() if part.rows < limit)
            return Merge(small, sealed if divisor == _STEPS[-1][0] else limit)
    dead = sorted((part for part in held.values() if _dead(part)), key=lambda part: part.live / part.rows)
    if not any(part.rows >= sealed // _STEPS[1][0] for part in dead):
        return None
    room = max(sealed, int(_SHARE_AT_ONCE * sum(part.rows for part in held.values()))) - written
    wanted = set()
    for part in dead:
        if part.rows <= room or part.live < (1 - _MUCH_DEAD) * part.rows:
            wanted.add(part.number)
            room -= part.rows
    return Merge(frozenset(wanted), sealed) if wanted else None


def written_again(held: Mapping[int, Part], wanted: Merge, sealed: int) -> int:
    """Rows of sealed fragments that a merge writes again; small ones are written as often as there are sizes."""
    return sum(held[number].rows for number in wanted.fragments if held[number].rows >= sealed // _STEPS[-1][0])


def all_due(held: Mapping[int, Part], sealed: int) -> Merge:
    """All that is not sealed, and sealed fragments of which much is removed."""
    return Merge(frozenset(part.number for part in held.values() if part.rows < sealed or _dead(part)), sealed)


def merge(table: Any, wanted: Merge, row_bytes: int, lock: Lock) -> None:
    """Merge fragments.

    Rows keep their values and order. A merge that meets the removal of one of its rows is void, so after a few of those
    ``lock`` keeps writers waiting while it is done again: a fragment's worth of work, never the table's.
    """
    from lance.optimize import Compaction

    options: Any = {
        "target_rows_per_fragment": wanted.rows,
        "materialize_deletions_threshold": _DEAD_SHARE,
        "num_threads": 1,
        "batch_size": PIECE,
        "compaction_mode": "try_binary_copy",
    }
    table.checkout_latest()
    for planned in _tasks(table, Compaction, options, wanted.fragments):
        fragments = {fragment.id for fragment in planned.fragments}
        rows = sum(part.live for number, part in parts(table).items() if number in fragments)
        _merge(table, Compaction, options, fragments, lock, rows * row_bytes <= _BRIEF)


def unindexed(table: Any) -> int:
    """How many fragments are looked through for every id, because the index does not cover them."""
    return int(table.stats.index_stats(INDEX)["num_unindexed_fragments"]) if table.describe_indices() else 0


def index_further(table: Any) -> None:
    """Have the index on ids cover all rows.

    What is new becomes one small piece beside a large one, and both become one when the small one has grown to a share
    of it: so a row is written to the index some ten times, however large that is.
    """
    table.checkout_latest()
    index_ids(table)
    told = table.stats.index_stats(INDEX)
    if not told["num_unindexed_fragments"]:
        return
    large, *small = told["num_indexed_rows_per_delta"] or [0]
    whole = _INDEX_SHARE * (sum(small) + told["num_unindexed_rows"]) > large
    table.optimize.optimize_indices(num_indices_to_merge=len(small) + whole)


def _dead(part: Part) -> bool:
    return part.live < (1 - _DEAD_SHARE) * part.rows


def _is_void(error: OSError) -> bool:
    return _VOID in str(error).lower()


def _tasks(table: Any, compaction: Any, options: Any, wanted: AbstractSet[int]) -> list[Any]:
    others = sorted(parts(table).keys() - wanted)
    return list(compaction.plan(table, {**options, "excluded_fragment_ids": others}).tasks)


def _merge(table: Any, compaction: Any, options: Any, wanted: AbstractSet[int], lock: Lock, brief: bool) -> None:
    for attempt in range(_TRIES + 1):
        if brief or attempt == _TRIES:
            with lock():
                _once(table, compaction, options, wanted, nullcontext)
            return
        try:
            _once(table, compaction, options, wanted, lock)
            return
        except OSError as error:
            if not _is_void(error):
                raise


def _once(table: Any, compaction: Any, options: Any, wanted: AbstractSet[int], lock: Lock) -> None:
    """Plan again, because fragments may have changed since, merge those of ``wanted`` that are left, and commit."""
    table.checkout_latest()
    for task in _tasks(table, compaction, options, wanted):
        done = task.execute(table)
        try:
            with lock():
                compaction.commit(table, [done])
        except OSError as error:
            if _is_void(error):
                # Nobody else would remove it as long as this process lives.
                drop_files(table, done.new_fragments)
            raise
