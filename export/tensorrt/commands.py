"""``framesift build``."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..precision.commands import calibration_options

if TYPE_CHECKING:
    from ..bundle.engines.folder import Engines
    from ..precision.gate import Gate
    from .builder import Hardware
    from .progress import Progress

# Written here once more, because --help must wait for nothing; a test compares them with what the builder knows.
FLAVOURS = ("tensorrt", "rtx")
PRECISIONS = ("fp32", "tf32", "fp16", "bf16", "int8", "fp8")
HARDWARE = ("same_gpu", "same_compute_capability", "ampere_plus")
_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30}


def _size(_: click.Context, __: click.Parameter, given: str | None) -> int | None:
    if given is None:
        return None
    text = given.strip().upper().removesuffix("IB").removesuffix("B")
    digits = text.rstrip("KMG")
    if not digits.isdigit() or text[len(digits) :] not in _UNITS:
        raise click.BadParameter(f"{given!r} is no size: write it as 512M or 4G")
    return int(digits) * _UNITS[text[len(digits) :]]


@click.command("build")
@click.argument("bundle", type=click.Path(file_okay=False, path_type=Path))
@click.option("--flavour", default="tensorrt", show_default=True, type=click.Choice(FLAVOURS), help="Which builder.")
@click.option(
    "--precision", default="fp16", show_default=True, type=click.Choice(PRECISIONS), help="Of all three graphs."
)
@click.option(
    "--target",
    "targets",
    multiple=True,
    metavar="SM",
    help="For rtx: a compute capability to build for, sm_75, sm_80, sm_86, sm_89, sm_120 or sm_121; may be repeated.",
)
@click.option("--max-queries", type=click.IntRange(1), help="Texts in one call of the scorer.  [default: 64]")
@click.option("--max-videos", type=click.IntRange(1), help="Videos in one call of the scorer.  [default: 512]")
@click.option(
    "--workspace",
    metavar="SIZE",
    callback=_size,
    help="Scratch memory that a kernel may use, as 512M or 4G.  [default: the builder's own limit]",
)
@click.option("--version-compatible", is_flag=True, help="For tensorrt: later releases can run the engines too.")
@click.option(
    "--hardware",
    default="same_gpu",
    show_default=True,
    type=click.Choice(HARDWARE),
    help="For tensorrt: which other GPUs can run the engines.",
)
@click.option(
    "--timing-cache",
    type=click.Path(dir_okay=False, path_type=Path),
    help="For tensorrt: a file that keeps kernel timings, so that the next build is quick.",
)
@calibration_options("--precision fp32")
@click.option("--overwrite", is_flag=True, help="Replace engines that are there already.")
def build_command(
    bundle: Path,
    flavour: str,
    precision: str,
    targets: tuple[str, ...],
    max_queries: int | None,
    max_videos: int | None,
    workspace: int | None,
    version_compatible: bool,
    hardware: Hardware,
    timing_cache: Path | None,
    videos: Path | None,
    captions: Path | None,
    overwrite: bool,
) -> None:
    """Build TensorRT engines of BUNDLE's three graphs, into BUNDLE/engines.

    `tensorrt` builds on a machine with the GPU that shall serve, and for that GPU. `rtx` is TensorRT for RTX: it builds
    on any machine for the GPUs given with --target, and compiles the rest when an engine is first run.

    fp32 computes in float32, tf32 in TensorFloat-32 where the GPU has it; fp16 and bf16 compute the large products in
    16 bits and keep norms, softmax and records in float32; int8 and fp8 compute those of the towers' blocks in 8 bits.
    All but fp32 are judged first: up to 200 videos are ranked by the rounded graphs on this machine's CPU. In 8 bits
    blocks go back to float32 until the ranking holds; nothing is built where it suffers.

    Engines carry hashes of the graphs they were built from and are refused where they don't fit.

    \b
    Examples:
      framesift build bundles/demo
      framesift build bundles/demo --precision tf32 --timing-cache timings.bin
      framesift build bundles/demo --flavour rtx --target sm_89 --target sm_120
      framesift build bundles/mine --precision bf16 --videos videos/ --captions captions.json
      framesift build bundles/demo --flavour rtx --target sm_89 --precision int8
      framesift build bundles/demo --hardware ampere_plus --version-compatible --workspace 4G
    """
    from ..bundle.engines.flavours import flavour as named
    from ..bundle.engines.profiles import default_limits
    from ..bundle.store import Bundle
    from .build import build_engines
    from .builder import Settings

    opened = Bundle.open(bundle)
    given = {"queries": max_queries, "videos": max_videos}
    limits = replace(
        default_limits(opened.manifest), **{key: value for key, value in given.items() if value is not None}
    )
    settings = Settings(
        precision=precision,
        targets=targets,
        workspace=workspace,
        version_compatible=version_compatible,
        hardware=hardware,
        timing_cache=timing_cache,
    )

    def say(line: str) -> None:
        click.echo(line, err=True)

    def gate() -> Gate:
        from ..precision.calibration import calibration_inputs
        from ..precision.gate import Gate

        say(f"judging the ranking in {precision}")
        return Gate(opened, calibration_inputs(opened, videos, captions, report=say))

    with _Bars() as bars:
        engines = build_engines(
            opened, named(flavour), settings, limits, overwrite=overwrite, gate=gate, progress=bars.start, report=say
        )
    click.echo(_summary(engines))


class _Bars:
    """A progress bar for each graph, one after another."""

    def __init__(self) -> None:
        self._open = ExitStack()

    def __enter__(self) -> _Bars:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def start(self, graph: str) -> Progress:
        """End the bar before and begin one."""
        self._open.close()
        bar = self._open.enter_context(click.progressbar(length=1000, label=f"building {graph}", file=sys.stderr))
        return lambda share: bar.update(round(1000 * share) - bar.pos)


def _summary(engines: Engines) -> str:
    made = engines.manifest
    lines = [f"{engines.root}: {made.flavour} {made.version}, {made.precision}, {', '.join(made.capabilities)}"]
    for name, engine in made.graphs.items():
        lines.append(f"  {name:14}{engine.bytes / 1e6:8.1f} MB {engine.seconds:8.1f} s")
    if made.gate is not None:
        lines.append(
            f"  over {made.gate['videos']} videos of the {made.gate['origin']}: top-10 overlap with float32 "
            f"{made.gate['overlap']:.4f}, R@1 {made.gate['recall']:.1f} instead of {made.gate['recall_float32']:.1f}"
        )
    return "\n".join(lines)
