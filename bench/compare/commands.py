"""``framesift bench compare``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ...export.bundle.dependent import Dependent
from ..options import MODELS, pattern, results_option, videos_option

_STAGES: Any = {"cls": Dependent, "bars": ("--searches",)}


@click.command("compare", short_help="Two commits or trees, stage by stage, or by their searches.")
@click.argument("base")
@click.argument("head", default="HEAD")
@click.option("--rounds", default=6, show_default=True, type=click.IntRange(5), help="Runs of each commit.")
@click.option("--searches", is_flag=True, help="Plain searches of each one's server instead of stages.")
@click.option(
    "--cases",
    **_STAGES,
    default="",
    callback=pattern,
    help="Only cases that match this pattern, as 'score|tower'.",
)
@click.option(
    "--engines",
    **_STAGES,
    default="^(framesift|onnxruntime|native)$",
    show_default=True,
    callback=pattern,
    help="Only engines that match; these are the ones that serve.",
)
@videos_option(default=1_000, bars=("--searches",))
@click.option(
    "--model",
    **_STAGES,
    type=click.Choice(MODELS),
    default=MODELS[0],
    show_default=True,
    help="As for stages.",
)
@click.option("--seconds", type=click.FloatRange(0.01), help="For each case and run: 0.5, of searches 5 by default.")
@click.option(
    "--margin", default=0.05, show_default=True, type=click.FloatRange(0, 1), help="A smaller change is none."
)
@results_option
def compare_command(
    base: str,
    head: str,
    rounds: int,
    searches: bool,
    cases: str,
    engines: str,
    videos: int,
    model: str,
    seconds: float | None,
    margin: float,
    results: Path,
) -> None:
    """Time two commits of this repository in alternation: their stages, or plain searches.

    Each is checked out into a temporary worktree, built, and run by itself, in new processes every time. A folder
    stands for the working tree there, as it is. The ratio is HEAD's median time over BASE's. A case counts as slower
    or faster if the 99 % interval of that lies beyond the margin and the runs' order is too rare for chance (p below
    0.01, Mann and Whitney). The exit status is 1 if one became slower.

    With --searches each has its own server, with the demo's model and 24 films, and the same client asks it: the time
    until an answer and the processor time of all its processes, for one client and for eight.

    \b
    Examples:
      framesift bench compare main HEAD
      framesift bench compare v0.5 main --cases 'score' --rounds 10
      framesift bench compare main . --searches
    """
    from ...export.bundle.errors import InvalidInput
    from ..schema.files import write
    from .judge import judged, summary, table
    from .searches import CLIPS
    from .searches import searches as of_searches
    from .stages import stages as of_stages
    from .versions import alternate, checked_out

    click.echo(f"checking out and building {base} and {head}")
    with checked_out(Path.cwd(), [base, head]) as versions:
        if searches:
            measure = of_searches(versions, seconds or 5.0, click.echo)
        else:
            options = ["--model", model, "--cases", cases, "--engines", engines, "--videos", str(videos)]
            measure = of_stages(versions, options, seconds or 0.5, click.echo)
        runs = alternate(versions, rounds, measure, click.echo)
        commits = versions[0].label, versions[1].label
    found = judged(*runs, margin, commits=commits, model=model, videos=CLIPS if searches else videos)
    if not found:
        raise InvalidInput("no case of both commits matches --cases and --engines")
    click.echo(f"\n{table(found)}\n{summary(found, margin)}")
    if only := sorted(runs[0].keys() ^ runs[1].keys()):
        click.echo(f"in one of the commits only: {', '.join(only)}")
    click.echo(f"rows in {write('compare', found, results)}")
    if any(row.verdict == "slower" for row in found):
        raise click.exceptions.Exit(1)
