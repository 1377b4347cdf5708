"""What a server that starts is at, told to whoever waits for it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path

Report = Callable[[str], None]

# A start that takes less is not worth a line.
_EVERY_S = 5.0
_BEGUN = re.compile(r"ModelInstanceInitialize: (\S+)_\d+_\d+ ")
_LOADED = re.compile(r"successfully loaded '([^']+)'")
_MB = 10**6


def quiet(line: str) -> None:
    """Nobody waits."""


class Loading:
    """How far the models of one start are, by the server's log: a line every few seconds, as a log can hold it too.

    Args:
        repository: the model repository.
        log: the server's.
        report: called with each line.
    """

    def __init__(self, repository: Path, log: Path, report: Report) -> None:
        self._log, self._report = log, report
        self._bytes = {folder.name: _weights(folder) for folder in repository.iterdir() if folder.is_dir()}
        self._from = self._told = time.monotonic()

    def look(self) -> None:
        """Tell how far it is, if that was not done a moment ago."""
        now = time.monotonic()
        if now - self._told >= _EVERY_S:
            self._told = now
            self._report(f"{now - self._from:6.0f} s  {self._state()}")

    def _state(self) -> str:
        said = self._log.read_text("utf-8", "replace") if self._log.is_file() else ""
        loaded = self._bytes.keys() & set(_LOADED.findall(said))
        if len(loaded) == len(self._bytes):
            return f"all {len(loaded)} models are loaded, the front door opens"
        begun = [name for name in dict.fromkeys(_BEGUN.findall(said)) if name not in loaded]
        at = ", ".join(map(self._named, begun)) or "Triton server itself"
        return f"{len(loaded)} of {len(self._bytes)} models loaded, at it: {at}"

    def _named(self, model: str) -> str:
        size = self._bytes.get(model, 0) // _MB
        return f"{model} ({size:,} MB)" if size else model


def _weights(folder: Path) -> int:
    """Bytes of a model's weights, which may be links."""
    return sum(path.stat().st_size for path in folder.glob("*/*") if path.is_file())
