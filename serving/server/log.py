"""What a user needs to see of the server's log."""

from __future__ import annotations

import re
from pathlib import Path

_ERROR = re.compile(r'^\S+ E \d+ \S+\] "?(.*?)"?$')
_CAUSE = "failed to load"
# Said at every start on a machine without a GPU.
_HARMLESS = ("CUDA", "Cuda")
_SHOWN = 8


def failure(log: Path) -> str:
    """The lines that tell why models did not load, or else other errors, or else the last lines."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.is_file() else []
    errors = [match.group(1) for line in lines if (match := _ERROR.match(line))]
    errors = [line for line in errors if not any(word in line for word in _HARMLESS)]
    causes = [line for line in errors if line.startswith(_CAUSE)]
    shown = list(dict.fromkeys(causes or errors))[-_SHOWN:] or lines[-_SHOWN:]
    return "\n  ".join([*shown, f"(all of it: {log})"])
