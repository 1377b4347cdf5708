"""``framesift bench compare``: two commits in alternation, and what became slower or faster beyond noise."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click

from ..export.bundle.errors import FramesiftError, InvalidInput
from .options import results_option

Row = dict[str, Any]
Runs = dict[str, list[list[float]]]

_STAGES = "bench/stages.py"
_NATIVE = ("kernels/topk_attention/csrc", "pyproject.toml")
_BUILD = "import setuptools; setuptools.setup()"


@dataclass(frozen=True)
class Version:
    """A commit in a folder of its own; ``place / "framesift"`` is its working tree, which Python imports from there."""

    name: str
    commit: str
    place: Path

    @property
    def tree(self) -> Path:
        """The working tree."""
        return self.place / "framesift"

    def stages(self, options: Sequence[str], samples: Path | None = None) -> None:
        """Run this version's own stages in a new process, with a bundle that it has exported itself.

        Raises:
            FramesiftError: it failed, or refused an engine; the message ends with what it printed.
        """
        command = [sys.executable, "-m", "framesift.bench.stages", "--work", str(self.place / "work"), *options]
        command += [] if samples is None else ["--samples", str(samples)]
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        # -m looks into the current folder first, before an installed framesift.
        done = subprocess.run(
            command, cwd=self.place, env=environment, capture_output=True, text=True, check=False, timeout=3600
        )
        if done.returncode:
            told = (done.stdout + done.stderr)[-2000:]
            raise FramesiftError(f"the stages of {self.name} ({self.commit[:9]}) ended with {done.returncode}:\n{told}")


@contextlib.contextmanager
def checked_out(repository: Path, names: Sequence[str]) -> Iterator[list[Version]]:
    """Each commit in a temporary git worktree, its compiled scorer built; all are removed afterwards.

    Raises:
        InvalidInput: not a repository, not a commit, or one from before ``framesift bench stages``.
    """
    commits = [_commit(repository, name) for name in names]
    folder = Path(tempfile.mkdtemp(prefix="framesift-compare-"))
    versions = [
        Version(name, commit, folder / str(i)) for i, (name, commit) in enumerate(zip(names, commits, strict=True))
    ]
    try:
        for version in versions:
            version.place.mkdir()
            _git(repository, "worktree", "add", "--detach", "--quiet", str(version.tree), version.commit)
            _compile(repository, version, versions[0])
        yield versions
    finally:
        for version in versions:
            if version.tree.exists():
                _git(repository, "worktree", "remove", "--force", str(version.tree))
        shutil.rmtree(folder, ignore_errors=True)


def alternate(
    versions: Sequence[Version], rounds: int, options: Sequence[str], report: Callable[[str], None]
) -> tuple[Runs, Runs]:
    """Run base and head in turns, AB BA AB ..., and return the seconds of every case, run by run."""
    found: tuple[Runs, Runs] = ({}, {})
    for version in versions:
        report(f"{version.name}: exporting the model, checking every engine")
        version.stages([*options, "--seconds", "0"])
    for round_ in range(rounds):
        # What a machine does more slowly as it gets warm counts for both alike.
        for side in (0, 1) if round_ % 2 == 0 else (1, 0):
            samples = versions[side].place / "samples.json"
            versions[side].stages(options, samples)
            for case, seconds in json.loads(samples.read_text(encoding="utf-8")).items():
                found[side].setdefault(case, []).append(seconds)
        report(f"round {round_ + 1} of {rounds}")
    return found


def judged(base: Mapping[str, list[list[float]]], head: Mapping[str, list[list[float]]], margin: float) -> list[Row]:
    """A row for every case that both versions have, the largest slowdown first."""
    from .change import change

    rows: list[Row] = []
    for case in base.keys() & head.keys():
        found = change(base[case], head[case], margin)
        values = {k: round(v, 6) if isinstance(v, float) else v for k, v in asdict(found).items()}
        base_ms, head_ms = (round(1e3 * values.pop(name), 5) for name in ("base_s", "head_s"))
        rows.append({"case": case, "base_ms": base_ms, "head_ms": head_ms, **values, "rounds": len(base[case])})
    return sorted(rows, key=lambda row: (-float(row["ratio"]), str(row["case"])))


def table(rows: Sequence[Row]) -> str:
    """The rows as aligned text."""
    width = max((len(row["case"]) for row in rows), default=4)
    lines = [f"{'case':{width}}{'base ms':>11}{'head ms':>11}{'ratio':>8}{'99 % interval':>16}{'p':>8}"]
    for row in rows:
        interval = f"{row['low']:.3f}..{row['high']:.3f}"
        mark = "" if row["verdict"] == "same" else f"  {row['verdict'].upper()}"
        lines.append(
            f"{row['case']:{width}}{row['base_ms']:>11.3f}{row['head_ms']:>11.3f}{row['ratio']:>8.3f}{interval:>16}"
            f"{row['p']:>8.4f}{mark}"
        )
    return "\n".join(lines)


def summary(rows: Sequence[Row], margin: float) -> str:
    """How many cases changed, and how large a change noise could have hidden in the others."""
    found = [row["verdict"] for row in rows]
    told = f"{found.count('slower')} slower, {found.count('faster')} faster, {found.count('same')} the same"
    reach = max((max(row["high"] - 1, 1 - row["low"]) for row in rows if row["verdict"] == "same"), default=0.0)
    if reach <= 2 * margin:
        return told
    return (
        f"{told} within noise, which could hide a change of up to {reach:.0%}: a quieter machine or more --rounds and "
        "--seconds narrow that"
    )


def _commit(repository: Path, name: str) -> str:
    try:
        commit = _git(repository, "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
    except FramesiftError as error:
        raise InvalidInput(f"{repository} has no commit {name!r}") from error
    try:
        _git(repository, "cat-file", "-e", f"{commit}:{_STAGES}")
    except FramesiftError as error:
        raise InvalidInput(
            f"{name} ({commit[:9]}) has no {_STAGES}: it is older than this benchmark and can't be compared"
        ) from error
    return commit


def _compile(repository: Path, version: Version, first: Version) -> None:
    """Build the compiled scorer in place, or take the first version's where its sources are the same."""
    ours, theirs = (
        [_git(repository, "rev-parse", f"{one.commit}:{path}") for path in _NATIVE] for one in (version, first)
    )
    target = version.tree / "kernels" / "topk_attention"
    if version is not first and ours == theirs:
        for library in (first.tree / "kernels" / "topk_attention").glob("_scan_*.so"):
            shutil.copy2(library, target)
        return
    command = [sys.executable, "-c", _BUILD, "--quiet", "build_ext", "--inplace"]
    done = subprocess.run(command, cwd=version.tree, capture_output=True, text=True, check=False)
    # Where there is no compiler both versions score with numpy.
    if done.returncode:
        raise FramesiftError(f"building {version.name} failed:\n{(done.stdout + done.stderr)[-2000:]}")


def _git(repository: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(repository), *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise FramesiftError(f"git {arguments[0]} failed: {done.stderr.strip()}")
    return done.stdout.strip()


@click.command("compare", short_help="Two commits, stage by stage.")
@click.argument("base")
@click.argument("head", default="HEAD")
@click.option("--rounds", default=6, show_default=True, type=click.IntRange(5), help="Runs of each commit.")
@click.option("--cases", default="", help="Only cases that match this pattern, as 'score|tower'.")
@click.option(
    "--engines",
    default="^(framesift|onnxruntime|native)$",
    show_default=True,
    help="Only engines that match this pattern; these are the ones that serve.",
)
@click.option("--videos", default=1_000, show_default=True, type=click.IntRange(10), help="Size of the gallery.")
@click.option("--model", type=click.Choice(["demo", "vit-b32"]), default="demo", show_default=True)
@click.option("--seconds", default=0.5, show_default=True, type=click.FloatRange(0.01), help="For each case and run.")
@click.option(
    "--margin", default=0.05, show_default=True, type=click.FloatRange(0, 1), help="A smaller change is none."
)
@results_option
def compare_command(
    base: str,
    head: str,
    rounds: int,
    cases: str,
    engines: str,
    videos: int,
    model: str,
    seconds: float,
    margin: float,
    results: Path | None,
) -> None:
    """Time the stages of two commits of this repository in alternation.

    Each is checked out into a temporary worktree, built, and run by itself. The ratio is HEAD's median time over
    BASE's. A stage counts as slower or faster if the 99 % interval of that lies beyond the margin and the runs' order
    is too rare for chance (p below 0.01, Mann and Whitney). The exit status is 1 if a stage became slower.

    \b
    Examples:
      framesift bench compare main HEAD
      framesift bench compare v0.5 main --cases 'score' --rounds 10
    """
    from . import rows as results_file

    repository = Path.cwd()
    options = ["--model", model, "--cases", cases, "--engines", engines, "--videos", str(videos)]
    click.echo(f"checking out and building {base} and {head}")
    with checked_out(repository, [base, head]) as versions:
        measured = alternate(versions, rounds, [*options, "--seconds", str(seconds)], click.echo)
    found = judged(*measured, margin)
    if not found:
        raise InvalidInput("no case of both commits matches --cases and --engines")
    click.echo(f"\n{table(found)}\n{summary(found, margin)}")
    only = sorted(measured[0].keys() ^ measured[1].keys())
    if only:
        click.echo(f"in one of the commits only: {', '.join(only)}")
    if results is not None:
        commits = {"base": versions[0].commit[:9], "head": versions[1].commit[:9], "model": model, "videos": videos}
        click.echo(f"written to {results_file.write('compare', [{**commits, **row} for row in found], results)}")
    if any(row["verdict"] == "slower" for row in found):
        raise click.exceptions.Exit(1)


if __name__ == "__main__":
    compare_command()
