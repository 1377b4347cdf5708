"""What whoever sends a film does with it first: its shots are found, and it is cut into pieces."""

from __future__ import annotations

from pathlib import Path

from ..segments import Cutting
from .limits import VideoLimits
from .part import Part
from .pieces import pieces as pieces
from .sandbox import Sandbox
from .shots_found import Shots, parts_of

# Whoever sends a film has its own decoded: a day is what nobody waits for.
_PATIENT = VideoLimits(max_bytes=1 << 62, max_seconds=1e9, max_packets=1 << 40, max_work=86_400)


def shots(source: bytes | Path, cutting: Cutting) -> Shots:
    """Where the shots of a film begin, found in a process that no file can harm.

    Raises:
        InvalidVideo: it can't be read.
    """
    with Sandbox(_PATIENT) as sandbox:
        return sandbox.shots(source, cutting.shots)


def parts(source: bytes | Path, cutting: Cutting, draft: str) -> list[Part]:
    """The segments of a film that begin with its shots.

    Raises:
        InvalidVideo: it can't be read, or has too many.
    """
    return parts_of(cutting, shots(source, cutting), draft)
