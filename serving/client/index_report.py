"""What ``framesift index`` tells: a bar while it works, and at its end what became of the files."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .printable import printable

if TYPE_CHECKING:
    from .indexing import Outcome
    from .results import Indexed

# Failures that are shown where a file has all of them.
_SHOWN = 20
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
        self._failed: list[Outcome] = []
        self._step: Callable[[int], object] = lambda count: None

    @property
    def failed(self) -> bool:
        """Whether a file could not be indexed."""
        return self._counts["failed"] > 0

    @contextmanager
    def showing(self, total: int) -> Iterator[None]:
        """Show a bar for so many files while the block runs."""
        start = time.monotonic()

        def rate(_: None) -> str:
            return f"{self._counts['indexed'] / max(time.monotonic() - start, 1e-3):.1f} videos/s"

        with (
            suppress(_Enough),
            click.progressbar(length=total, label=self._doing, file=sys.stderr, item_show_func=rate) as bar,
        ):
            self._step = bar.update
            yield

    def told(self, outcome: Outcome) -> None:
        """Count what became of a file."""
        self._counts[outcome.status] += 1
        if outcome.indexed is not None and (self.last is None or self.last.version <= outcome.indexed.version):
            self.last = outcome.indexed
        self._step(1)
        if outcome.status == "failed":
            if self._failures is None or len(self._failed) < _SHOWN:
                self._failed.append(outcome)
            if self._fail_fast:
                raise _Enough

    def say(self, text: str) -> None:
        """Say something while the bar is there: it goes on below."""
        click.echo(f"{_ERASED if sys.stderr.isatty() else ''}{printable(text)}", err=True)

    def end(self, total: int) -> None:
        """Say what became of all files."""
        counts = {status: self._counts[status] for status in ("indexed", "skipped", "failed")}
        left = total - sum(counts.values())
        parts = [f"{count} {status}" for status, count in counts.items()] + ([f"{left} not tried"] if left else [])
        unchanged = "" if counts["indexed"] or left else ": the gallery is as it was"
        click.echo(", ".join(parts) + unchanged)
        self.tell_failed()

    def tell_failed(self) -> None:
        """Name the files that could not be indexed, and why."""
        for outcome in self._failed:
            click.echo(f"  {printable(outcome.path)}: {printable(outcome.reason)}", err=True)
        if self._counts["failed"] > len(self._failed):
            click.echo(f"  and {self._counts['failed'] - len(self._failed)} more: {self._failures} has all", err=True)
