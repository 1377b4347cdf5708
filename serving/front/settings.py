"""What the door is told when it is started: a file in the run's folder."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .telemetry import NOTHING, Telemetry

# Environment variable with the path of the settings.
VARIABLE = "FRAMESIFT_DOOR"


@dataclass(frozen=True)
class Settings:
    """The door's settings.

    Attributes:
        deployment: folder with the bundle's manifest and vocabulary.
        triton: Triton server's socket for HTTP.
        triton_metrics: its socket for metrics.
        state: folder in which the keeper and the watchdog say what runs.
        arena: name of the shared memory for large tensors.
        room: the bytes that may lie there at once.
        tokens: the file of tokens; without one everybody may call.
        telemetry: what is told of calls.
    """

    deployment: Path
    triton: Path
    triton_metrics: Path
    state: Path
    arena: str
    room: int
    tokens: Path | None = None
    telemetry: Telemetry = NOTHING

    def write(self, path: Path) -> None:
        """Write them for this user alone."""
        path.touch(0o600)
        path.write_text(json.dumps(asdict(self), default=str), encoding="utf-8")

    @staticmethod
    def read(path: Path) -> Settings:
        """Read them."""
        values = json.loads(path.read_text(encoding="utf-8"))
        arena, room, tokens, told = (values.pop(key) for key in ("arena", "room", "tokens", "telemetry"))
        paths = {key: Path(value) for key, value in values.items()}
        return Settings(arena=arena, room=int(room), tokens=_path(tokens), telemetry=_telemetry(told), **paths)


def _telemetry(values: dict[str, Any]) -> Telemetry:
    return Telemetry(**{**values, "access_log": _path(values["access_log"])})


def _path(value: str | None) -> Path | None:
    return None if value is None else Path(value)
