"""Two commits in working trees of their own, or two working trees as they are, which are measured in turns."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
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
    """A commit in a folder of its own; ``place / "framesift"`` is its working tree, which Python imports from there.

    Attributes:
        own: it is a working tree that was there before, and stays.
    """

    name: str
    commit: str
    place: Path
    own: bool = False

    @property
    def tree(self) -> Path:
        """The working tree."""
        return self.place / "framesift"

    @property
    def label(self) -> str:
        """Its commit in short; with a plus where it is a tree that may hold more."""
        return self.commit[:9] + ("+" if self.own else "")

    @property
    def environment(self) -> dict[str, str]:
        """Of its processes, whose current folder is ``place``: ``-m`` looks there before an installed framesift."""
        return {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}

    def command(self, *words: str) -> list[str]:
        """What starts its own framesift.

        What two versions agree on is the command line: its options stay, modules may move.
        """
        return [sys.executable, "-m", "framesift", *words]

    def run(self, *words: str) -> None:
        """Run one of its commands to its end.

        Raises:
            FramesiftError: it failed; the message ends with what it printed.
        """
        done = subprocess.run(
            self.command(*words),
            cwd=self.place,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=3600,
        )
        if done.returncode:
            told = (done.stdout + done.stderr)[-2000:]
            what = f"`framesift {' '.join(words[:2])}` of {self.name} ({self.label})"
            raise FramesiftError(f"{what} ended with {done.returncode}:\n{told}")


@contextlib.contextmanager
def checked_out(repository: Path, names: Sequence[str]) -> Iterator[list[Version]]:
    """Each commit in a temporary git worktree, its compiled scorer built; all are removed afterwards.

    A name that is a folder stands for the working tree there, as it is and with what is built in it.

    Raises:
        InvalidInput: not a repository, not a commit, or one from before ``framesift bench stages``.
    """
    trees = {name: Path(name).resolve() for name in names if (Path(name) / "pyproject.toml").is_file()}
    commits = [_commit(trees.get(name, repository), "HEAD" if name in trees else name) for name in names]
    folder = Path(tempfile.mkdtemp(prefix="framesift-compare-"))
    versions = [
        Version(name, commit, folder / str(i), name in trees)
        for i, (name, commit) in enumerate(zip(names, commits, strict=True))
    ]
    try:
        for version in versions:
            version.place.mkdir()
            if version.own:
                version.tree.symlink_to(trees[version.name], target_is_directory=True)
                continue
            _git(repository, "worktree", "add", "--detach", "--quiet", str(version.tree), version.commit)
            _compile(repository, version, versions[0])
        yield versions
    finally:
        for version in versions:
            if version.tree.exists() and not version.own:
                _git(repository, "worktree", "remove", "--force", str(version.tree))
        shutil.rmtree(folder, ignore_errors=True)


Measure = Callable[[Version], Mapping[str, list[float]]]


def alternate(
    versions: Sequence[Version], rounds: int, measure: Measure, report: Callable[[str], None]
) -> tuple[Runs, Runs]:
    """Measure base and head in turns, AB BA AB ..., and return the seconds of every case, run by run."""
    found: tuple[Runs, Runs] = ({}, {})
    for round_ in range(rounds):
        # A machine that slows as it warms slows both alike.
        for side in (0, 1) if round_ % 2 == 0 else (1, 0):
            for case, times in measure(versions[side]).items():
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
    if version is not first and ours == theirs and not first.own:
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
