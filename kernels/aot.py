"""Compile the Triton kernels of the scorers of plain vectors for GPUs that needn't be there, and hold them to limits.

    python -m framesift.kernels.aot
    python -m framesift.kernels.aot --arch 90 --kernel token_frame --queries 256

Without arguments: every row of the tables of tiles, as searches, and for 9.0 as scores alone too. A line per kernel:
registers, spills, shared memory, programs per multiprocessor, the share of 16-byte asynchronous copies, shuffles,
instructions per pair behind the products, and tensor-core instructions. What breaks a limit (``device/limits.py``) is
named behind the line, and the exit status is 1.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, get_args

from .device.limits import ARCHITECTURES
from .device.many import Result, compile_many, held, parser
from .device.pair_plan import (
    FRAMES,
    OF_FRAMES,
    OF_WORDS,
    PAIR_CANDIDATES,
    PAIR_TILES,
    WORDS,
    Name,
    PairPlan,
    pair_plan,
    regime_of,
)
from .device.tile import Kernel, Regime, Tile, row_of

# Numbers of texts that stand for a regime.
QUERIES: dict[Regime, int] = {"few": 1, "some": 16, "many": 256}
# Where scores alone are looked at too, which do less than a search.
_WHOLE = 90


@dataclass(frozen=True)
class Job:
    """One kernel to compile."""

    arch: int
    name: Name
    queries: int
    search: bool = False
    """Whether the kernel also keeps the groups' largest scores."""
    frames: int = FRAMES
    width: int = 512
    words: int = WORDS
    tile: Tile | None = None
    """None: the one of the table."""

    @property
    def plan(self) -> PairPlan:
        frames, words = self.frames if self.name in OF_FRAMES else 1, self.words if self.name in OF_WORDS else 1
        how = pair_plan(self.name, frames, self.width, words, self.queries, self.arch)
        return how if self.tile is None else replace(how, tile=self.tile)

    def __str__(self) -> str:
        kind, search = f" {self.tile.kernel}" if self.tile else "", " search" if self.search else ""
        return f"sm_{self.arch} {self.name} {regime_of(self.name, self.queries)}{kind}{search}"


def kernel_of(name: Name, kind: Kernel) -> Any:
    """The Triton kernel of that name."""
    if kind == "pingpong":
        from .token_frame.pingpong import token_frame_pingpong_kernel as kernel
    elif name == "dot":
        from .dot.kernel import dot_kernel as kernel
    elif name == "frame_softmax":
        from .frame_softmax.kernel import frame_softmax_kernel as kernel
    elif name == "token_frame":
        from .token_frame.kernel import token_frame_kernel as kernel
    elif name == "whole_video":
        from .multi_grained.kernel import whole_kernel as kernel
    else:
        from .multi_grained.kernel import fine_kernel as kernel
    return kernel


def jobs(arch: tuple[int, ...] = ARCHITECTURES, names: tuple[Name, ...] = get_args(Name)) -> Iterator[Job]:
    """Every row of the tables for those architectures and kernels: searches, and for 9.0 scores alone too."""
    for each in arch:
        for name, regime in PAIR_TILES[row_of(PAIR_TILES, each)]:
            if name in names:
                yield Job(each, name, QUERIES[regime], search=name != "whole_video")
                if each == _WHOLE and name != "whole_video":
                    yield Job(each, name, QUERIES[regime])


def candidates(arch: tuple[int, ...], names: tuple[Name, ...]) -> Iterator[Job]:
    """All rows that nothing takes yet, as searches."""
    for (each, name, regime), tiles in PAIR_CANDIDATES.items():
        if each in arch and name in names:
            yield from (Job(each, name, QUERIES[regime], search=True, tile=tile) for tile in tiles)


def run(job: Job, fresh: bool = False) -> Result:
    """Compile a job and look for what breaks a limit."""
    from .device.compiling import compiled, words_of

    how = job.plan
    kernel = kernel_of(job.name, how.tile.kernel)
    types = how.types(kernel.arg_names, job.search)

    def make() -> Any:
        return compiled(kernel, types, how.constants(), how.arch, options=how.tile.options())

    return held(str(job), how.tile, job.arch, make, rows=how.rows, words=words_of(types.values()), fresh=fresh)


def main(arguments: list[str] | None = None) -> int:
    """The command; see the module's docstring."""
    options = parser(
        "framesift.kernels.aot",
        "Compile the Triton kernels of plain vectors ahead of time, and fail where a limit is broken.",
        "--arch 80 90 --kernel dot token_frame --queries 256",
    )
    options.add_argument("--kernel", nargs="+", choices=get_args(Name), help="all, by default")
    options.add_argument("--queries", type=int, nargs="+", help="instead of one number for each row of the tables")
    options.add_argument("--words", type=int, default=WORDS)
    given = options.parse_args(arguments)
    arch, names = tuple(given.arch or ARCHITECTURES), tuple(given.kernel or get_args(Name))
    asked = list(candidates(arch, names) if given.candidates else jobs(arch, names))
    if given.queries:
        sizes = {name: getattr(given, name) for name in ("search", "frames", "width", "words")}
        asked = [Job(each, name, queries, **sizes) for each in arch for name in names for queries in given.queries]
    return compile_many(asked, run, processes=given.processes, fresh=given.fresh)


if __name__ == "__main__":
    sys.exit(main())
