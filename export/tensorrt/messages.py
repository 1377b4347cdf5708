"""What a builder says while it works, kept for the error that follows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

# By module: TensorRT keeps the first logger of a process for good, and complains of every other one.
_LOGGERS: dict[str, Any] = {}
# More of them don't help in an error's text.
_KEPT = 200
_SHOWN = 5


class Messages:
    """The warnings and errors of one build, oldest first."""

    def __init__(self) -> None:
        self.warnings: list[str] = []
        self.errors: list[str] = []

    def add(self, severity: str, text: str) -> None:
        """Keep a message of TensorRT's; ``severity`` is its name there."""
        kept = self.errors if "ERROR" in severity else self.warnings if severity == "WARNING" else None
        if kept is not None and len(kept) < _KEPT and text not in kept:
            kept.append(text)

    def reason(self) -> str:
        """The first errors in one line; warnings where there is no error."""
        # Without a GPU the driver is always missed, whatever else went wrong.
        found = [text for text in self.errors if "cudaError" not in text] or self.errors or self.warnings
        if not found:
            return "it gave no reason"
        shown = "; ".join(" ".join(text.split()) for text in found[:_SHOWN])
        return shown if len(found) <= _SHOWN else f"{shown}; and {len(found) - _SHOWN} more"


def logger(trt: Any) -> Any:
    """The one logger of this process for a TensorRT module; outside ``listening`` it drops what it hears."""
    if trt.__name__ not in _LOGGERS:

        class Logger(trt.ILogger):  # type: ignore[misc]
            def __init__(self) -> None:
                super().__init__()
                self.messages: Messages | None = None

            def log(self, severity: Any, msg: str) -> None:
                if self.messages is not None:
                    self.messages.add(severity.name, msg)

        _LOGGERS[trt.__name__] = Logger()
    return _LOGGERS[trt.__name__]


@contextmanager
def listening(trt: Any) -> Iterator[Messages]:
    """Collect what TensorRT says until the block ends."""
    log = logger(trt)
    before, log.messages = log.messages, Messages()
    try:
        yield log.messages
    finally:
        log.messages = before
