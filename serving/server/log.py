"""What a user needs to see of the server's log."""

from __future__ import annotations

import re
from pathlib import Path

_STAMP = re.compile(r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z ([EWIF]) [0-9]+ \S+\] ")
_NOT_LOADED = re.compile(r"failed to load '(?P<model>[^']+)' version \d+: (?:[A-Z][\w ]+: )?(?P<reason>.*)")
# Said by every start without a GPU, and what only repeats the line that names the model.
_NOISE = (
    "CudaDriverHelper",
    "CUDA driver version is insufficient",
    "Failed to create instance",
    "failed to load all models",
    "NVML",
    "DCGM",
)
# An ensemble fails because its member did, which mostly has a line of its own.
_CONSEQUENCE = "which has no loaded version"
_TEXT_FORMAT = "Error parsing text-format "
_SHOWN = 8
_LONGEST_LINE = 600
_TAIL_BYTES = 1 << 20


def failure(log: Path) -> str:
    """Why the server or its models did not start, in a few indented lines: the log's errors, or else its end."""
    lines = _tail(log)
    found = list(dict.fromkeys(line for line in map(_error, lines) if line))
    shown = [line for line in found if _CONSEQUENCE not in line] or found
    if len(shown) > _SHOWN:
        shown = [*shown[:_SHOWN], f"... and {len(shown) - _SHOWN} errors more"]
    plain = [line for line in lines if line.strip() and line[0] not in "+|"]
    return "\n".join(f"  {line[:_LONGEST_LINE]}" for line in shown or plain[-_SHOWN:] or ["the server said nothing"])


def said(log: Path, text: str) -> bool:
    """Whether the log holds ``text``."""
    return any(text in line for line in _tail(log))


def last(log: Path, beginning: str) -> str:
    """What follows ``beginning`` in the last line that begins so; empty where none does."""
    return next((line.removeprefix(beginning) for line in reversed(_tail(log)) if line.startswith(beginning)), "")


def _tail(log: Path) -> list[str]:
    if not log.is_file():
        return []
    with log.open("rb") as stream:
        stream.seek(max(0, log.stat().st_size - _TAIL_BYTES))
        return stream.read().decode("utf-8", "replace").splitlines()


def _error(line: str) -> str | None:
    """The message of a line that reports an error; None for all other lines."""
    if _TEXT_FORMAT in line:
        return line.partition(_TEXT_FORMAT)[2]
    stamp = _STAMP.match(line)
    if any(noise in line for noise in _NOISE):
        return None
    if stamp is None:
        return line if line.startswith(("error: ", "tritonserver: ")) else None
    if stamp.group(1) not in "EF":
        return None
    message = line[stamp.end() :].strip().strip('"')
    if (found := _NOT_LOADED.match(message)) is not None:
        # Behind it stands the trace, in one line with the message.
        reason = found["reason"].partition("\\n\\nAt:")[0].removeprefix("TritonModelException: ")
        return f"{found['model']}: {reason.rstrip(';')}"
    return message
