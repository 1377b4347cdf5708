"""Compile the Triton kernels ahead of time for GPUs that needn't be there, and hold the machine code to limits.

    python -m framesift.kernels.topk_attention.aot
    python -m framesift.kernels.topk_attention.aot --arch 90 --storage int8 --regime few many
    python -m framesift.kernels.topk_attention.aot --arch 90 --candidates

Without arguments: every row of the tables of tiles, some minutes a core. The lines are those of ``kernels/aot.py``.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from ..device.limits import ARCHITECTURES
from ..device.many import Result, compile_many, held, parser
from ..device.tile import Regime, Tile
from .configs import BYTES, CANDIDATES, TILES, Storage

QUERIES = {"few": 1, "some": 16, "many": 256}
# Of a thread behind the products. One that has a single pair shares the loads of a table's rows, 270 and 12 of sizes,
# with no other.
INSTRUCTIONS_PER_PAIR, OF_A_SINGLE_PAIR = 800, 1050


@dataclass(frozen=True)
class Job:
    """One kernel to compile."""

    arch: int
    storage: Storage
    regime: Regime
    frames: int = 12
    width: int = 512
    top_k: int = 4
    heads: int = 1
    search: bool = False
    """Whether the kernel also keeps the groups' largest scores."""
    tile: Tile | None = None
    """None: the one of the table."""

    def __str__(self) -> str:
        kind = self.tile.kernel if self.tile else "portable"
        return f"sm_{self.arch} {self.storage} {self.regime} {kind}{' search' if self.search else ''}"


def every_row(arch: tuple[int, ...] = ARCHITECTURES) -> Iterator[Job]:
    """All rows of the tables for those architectures; the search's kernels and e4m3 for 9.0 alone."""
    for each, regime in TILES:
        if each in arch:
            yield Job(each, "float16", regime)
            if (each, regime) in BYTES:
                yield Job(each, "int8", regime)
    if 90 in arch:
        yield Job(90, "int8", "many")
        yield Job(90, "float8_e4m3fn", "few")
        yield from (Job(90, "float16", regime, search=True) for regime in ("few", "some", "many"))


def candidates(arch: tuple[int, ...] = ARCHITECTURES) -> Iterator[Job]:
    """All rows that nothing takes yet, as scores and as searches."""
    for (each, regime, storage), tiles in CANDIDATES.items():
        if each in arch:
            for tile in tiles:
                yield Job(each, storage, regime, tile=tile)
                yield Job(each, storage, regime, tile=tile, search=True)


def run(job: Job, fresh: bool = False) -> Result:
    """Compile a job and look for what breaks a limit."""
    from .building import build, words
    from .layout import HeadShape
    from .plans import Plan, plan

    shape = HeadShape(job.frames, job.width, job.top_k, job.heads)
    how = plan(shape, job.storage, QUERIES[job.regime], job.arch)
    how = Plan(shape, job.storage, job.arch, job.tile) if job.tile else how
    tile = how.tile
    result = held(
        str(job),
        tile,
        job.arch,
        lambda: build(how, search=job.search),
        rows=tile.parts * tile.queries,
        words=words(how, job.search),
        int8=how.parted,
        fresh=fresh,
    )
    if job.search:
        # The largest of a group is exchanged between threads.
        return result
    most = OF_A_SINGLE_PAIR if tile.queries * tile.videos <= tile.threads else INSTRUCTIONS_PER_PAIR
    more = {
        f"{result.cost.shuffles} shuffles": not result.cost.shuffles,
        "too many instructions per pair": result.per_pair <= most,
    }
    return replace(result, faults=(*result.faults, *(name for name, kept in more.items() if not kept)))


def main(arguments: list[str] | None = None) -> int:
    """The command; see the module's docstring."""
    options = parser(
        "framesift.kernels.topk_attention.aot",
        "Compile the Triton kernels ahead of time, print what they cost, and fail where a limit is broken.",
        "--arch 80 90 --storage int8 --regime few many",
    )
    options.add_argument(
        "--storage", nargs="+", help="dtypes of the frames: float16 bfloat16 float32 int8 float8_e4m3fn"
    )
    options.add_argument("--regime", nargs="+", choices=sorted(QUERIES), help="numbers of queries")
    options.add_argument("--top-k", type=int, default=4)
    options.add_argument("--heads", type=int, default=1)
    given = options.parse_args(arguments)
    arch = tuple(given.arch or ARCHITECTURES)
    if given.storage or given.regime or given.search:
        sizes = {name: getattr(given, name) for name in ("frames", "width", "top_k", "heads")}
        storages: Sequence[Storage] = given.storage or ("float16",)
        jobs = [
            Job(each, storage, regime, **sizes, search=given.search)
            for each in arch
            for storage in storages
            for regime in given.regime or ("few", "many")
        ]
        if given.candidates:
            asked = {(job.arch, job.storage, job.regime) for job in jobs}
            jobs = [job for job in candidates(arch) if (job.arch, job.storage, job.regime) in asked]
    else:
        jobs = list(candidates(arch) if given.candidates else every_row(arch))
    return compile_many(jobs, run, processes=given.processes, fresh=given.fresh)


if __name__ == "__main__":
    sys.exit(main())
