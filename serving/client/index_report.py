"""What ``framesift index`` tells: a bar while it works, and at its end what became of the files."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .printable import printable

if TYPE_CHECKING:
    from .indexing import Outcome
    from .results import Indexed

# Failures that are shown where a file has all of them.
_SHOWN = 20
_FILMS, _IMAGES = ("films that were", "are now whole videos"), ("images were", "them as videos")
# Characters of a film's name beside the bar.
_NAME = 30
_ERASED = "\r\033[2K"


class _Enough(Exception):
    """The first failure, where one is enough."""


class Report:
    """Counts what becomes of files.

    Args:
        fail_fast: whether the first failure ends the block of ``showing``.
        failures: the file that has all failures, if one has.
        doing: what is done with files, in a word.

    Attributes:
        last: the latest of the videos that a server has kept.
    """

    def __init__(self, *, fail_fast: bool, failures: Path | None = None, doing: str = "indexing") -> None:
        self._doing = doing
        self.last: Indexed | None = None
        self._fail_fast, self._failures = fail_fast, failures
        self._counts = Counter[str]()
        self._whole = 0
        self._failed: list[Outcome] = []
        # Threads tell how far films are while others end.
        self._lock = threading.Lock()
        self._films: dict[str, str] = {}
        self._bar: Any = None

    @property
    def failed(self) -> bool:
        """Whether a file could not be indexed."""
        return self._counts["failed"] > 0

    @contextmanager
    def showing(self, total: int) -> Iterator[None]:
        """Show a bar for so many files while the block runs."""
        start = time.monotonic()

        def shown(_: None) -> str:
            rate = f"{self._counts['indexed'] / max(time.monotonic() - start, 1e-3):.1f} videos/s"
            return "  ".join((rate, *[*self._films.values()][-1:]))

        with (
            suppress(_Enough),
            click.progressbar(length=total, label=self._doing, file=sys.stderr, item_show_func=shown) as bar,
        ):
            self._bar = bar
            try:
                yield
            finally:
                self._bar = None

    def reached(self, path: str | os.PathLike[str], done: int, total: int) -> None:
        """Show how many of a film's segments are done, until the film is; any thread may tell."""
        name = os.path.basename(path)
        cut = name if len(name) <= _NAME else f"{name[: _NAME - 3]}..."
        with self._lock:
            # The one of which was told last is the last.
            self._films.pop(os.fspath(path), None)
            self._films[os.fspath(path)] = f"{printable(cut)}: {done} of {total} segments"
            if self._bar is not None:
                self._bar.render_progress()

    def told(self, outcome: Outcome) -> None:
        """Count what became of a file."""
        self._counts[outcome.status] += 1
        if outcome.indexed is not None and (self.last is None or self.last.version <= outcome.indexed.version):
            self.last = outcome.indexed
        self._whole += outcome.uncut
        with self._lock:
            self._films.pop(os.fspath(outcome.path), None)
            if self._bar is not None:
                self._bar.update(1)
        if outcome.status == "failed":
            if self._failures is None or len(self._failed) < _SHOWN:
                self._failed.append(outcome)
            if self._fail_fast:
                raise _Enough

    def say(self, text: str) -> None:
        """Say something while the bar is there: it goes on below."""
        click.echo(f"{_ERASED if sys.stderr.isatty() else ''}{printable(text)}", err=True)

    def end(self, total: int, images: int = 0) -> None:
        """Say what became of all files; so many ``images`` were left out."""
        counts = {status: self._counts[status] for status in ("indexed", "skipped", "failed")}
        left = total - sum(counts.values())
        parts = [f"{count} {status}" for status, count in counts.items()] + ([f"{left} not tried"] if left else [])
        unchanged = "" if counts["indexed"] or left else ": the gallery is as it was"
        click.echo(", ".join(parts) + unchanged)
        if self._whole:
            were, now = ("film that was", "is now a whole video") if self._whole == 1 else _FILMS
            click.echo(f"{self._whole} {were} kept in segments {now}: --segment-seconds cuts films again")
        if images:
            were, takes = ("image was", "it as a video") if images == 1 else _IMAGES
            click.echo(f"{images} {were} left out: --images takes {takes} of one frame")
        self.tell_failed()

    def tell_failed(self) -> None:
        """Name the files that could not be indexed, and why."""
        for outcome in self._failed:
            click.echo(f"  {printable(_from_here(outcome.path))}: {printable(outcome.reason)}", err=True)
        if self._counts["failed"] > len(self._failed):
            click.echo(f"  and {self._counts['failed'] - len(self._failed)} more: {self._failures} has all", err=True)


def _from_here(path: str | os.PathLike[str]) -> str:
    """A path as it is seen from the current folder, where it lies below that."""
    text, here = os.fspath(path), os.path.join(os.getcwd(), "")
    return text.removeprefix(here)
