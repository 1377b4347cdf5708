"""Two commits in working trees of their own, whose stages are run in turns."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...export.bundle.errors import FramesiftError, InvalidInput

Runs = dict[str, list[list[float]]]

# One of these a commit must have, so that its command line has ``bench stages``.
_STAGES = ("bench/stages.py", "bench/stages/commands.py")
_NATIVE = ("kernels", "pyproject.toml")
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

        What the two versions agree on is the command line: its options stay, modules may move.

        Raises:
            FramesiftError: it failed, or refused an engine; the message ends with what it printed.
        """
        work = str(self.place / "work")
        command = [sys.executable, "-m", "framesift", "bench", "stages", "--work", work, *options]
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
    versions: Sequence[Version], rounds: int, options: Sequence[str], seconds: float, report: Callable[[str], None]
) -> tuple[Runs, Runs]:
    """Run base and head in turns, AB BA AB ..., and return the seconds of every case, run by run."""
    found: tuple[Runs, Runs] = ({}, {})
    for version in versions:
        report(f"{version.name}: exporting the model, checking every engine")
        version.stages([*options, "--seconds", "0"])
    for round_ in range(rounds):
        # A machine that slows as it warms slows both alike.
        for side in (0, 1) if round_ % 2 == 0 else (1, 0):
            samples = versions[side].place / "samples.json"
            versions[side].stages([*options, "--seconds", str(seconds)], samples)
            for case, times in json.loads(samples.read_text(encoding="utf-8")).items():
                found[side].setdefault(case, []).append(times)
        report(f"round {round_ + 1} of {rounds}")
    return found


def _commit(repository: Path, name: str) -> str:
    try:
        commit = _git(repository, "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
    except FramesiftError as error:
        raise InvalidInput(f"{repository} has no commit {name!r}") from error
    if not _git(repository, "ls-tree", "-r", "--name-only", commit, *_STAGES):
        raise InvalidInput(
            f"{name} ({commit[:9]}) has no `framesift bench stages`: it is older than this benchmark and can't be "
            "compared"
        )
    return commit


def _compile(repository: Path, version: Version, first: Version) -> None:
    """Build the compiled scorer in place, or take the first version's where its sources are the same."""
    ours, theirs = (_git(repository, "ls-tree", one.commit, *_NATIVE) for one in (version, first))
    if version is not first and ours == theirs:
        # Older versions have them in a folder further down.
        for library in (first.tree / "kernels").rglob("_scan_*.so"):
            shutil.copy2(library, version.tree / library.relative_to(first.tree))
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
