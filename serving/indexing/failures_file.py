"""The list of what could not be indexed: a manifest of its own, to be mended and indexed again."""

from __future__ import annotations

import json
from pathlib import Path
from types import TracebackType
from typing import TextIO

from ...export.bundle.errors import InvalidRequest
from .video import Made


class FailuresFile:
    """Writes a line of JSON for every video that failed, as it fails; ``None`` writes nothing.

    Raises:
        InvalidRequest: the file can't be written.
    """

    def __init__(self, path: Path | None) -> None:
        self._file: TextIO | None = None
        if path is not None:
            try:
                self._file = path.open("w", encoding="utf-8")
            except OSError as error:
                raise InvalidRequest(f"{path} can't be written: {error.strerror}") from error

    def __enter__(self) -> FailuresFile:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._file is not None:
            self._file.close()

    def put(self, made: Made) -> None:
        """Note a video that failed."""
        if self._file is None:
            return
        video = made.video
        line = {
            "path": video.place,
            "id": video.id,
            **({} if video.beside is None else {"features": video.beside}),
            **({} if video.metadata == "{}" else {"metadata": json.loads(video.metadata)}),
            "reason": made.reason,
        }
        # A name that is not UTF-8 has half characters, which JSON can escape.
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()
