"""What a user needs to see of the server's log."""

from __future__ import annotations

import re
from pathlib import Path

_STAMP = re.compile(r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z? [0-9]+ ([EWI]) \S+ ")
_SHOWN = 8


def failure(log: Path) -> str:
    """The log's error lines, or its last ones where it has none."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.is_file() else []
    errors = [_without_stamp(line) for line in lines if _is_error(line)]
    shown = list(dict.fromkeys(errors))[-_SHOWN:] or lines[-_SHOWN:]
    return "\n  ".join([*shown, f"(all of it: {log})"])


def _is_error(line: str) -> bool:
    stamp = _STAMP.match(line)
    return stamp.group(1) == "E" if stamp else line.startswith(("error:", "Error"))


def _without_stamp(line: str) -> str:
    return _STAMP.sub("", line).strip().strip('"')
