"""What the door is told when it is started: a file in the run's folder."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .behind import Behind
from .telemetry import NOTHING, Telemetry

# Environment variable with the path of the settings.
VARIABLE = "FRAMESIFT_DOOR"
# What a deployment is called where there is no other.
ALONE = "default"


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
        port: to which clients connect.
        connections: the most that the server lets in; 0 where the door is not to look after that.
        tokens: the file of tokens; without one everybody may call.
        telemetry: what is told of calls.
        names: by which browsers know the door, beside its address.
        page: whether there is a page for them.
        videos: the folder of videos that may be shown there.
        name: of the deployment, by which clients may choose it.
        beside: further deployments, which only those reach who choose them.
    """

    deployment: Path
    triton: Path
    triton_metrics: Path
    state: Path
    arena: str
    room: int
    port: int = 0
    connections: int = 0
    tokens: Path | None = None
    telemetry: Telemetry = NOTHING
    names: frozenset[str] = frozenset()
    page: bool = False
    videos: Path | None = None
    name: str = ALONE
    beside: Sequence[Behind] = ()

    @property
    def all(self) -> Sequence[Behind]:
        """All deployments, the default one first."""
        own = Behind(self.name, self.deployment, self.triton, self.triton_metrics, self.state)
        return [own, *self.beside]

    def write(self, path: Path) -> None:
        """Write them for this user alone."""
        path.touch(0o600)
        told = {**asdict(self), "names": sorted(self.names)}
        path.write_text(json.dumps(told, default=str), encoding="utf-8")

    @staticmethod
    def read(path: Path) -> Settings:
        """Read them."""
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        kept = {key: values.pop(key) for key in ("arena", "room", "port", "connections", "page", "name")}
        beside = [Behind.read(each) for each in values.pop("beside")]
        told, names = _telemetry(values.pop("telemetry")), frozenset(values.pop("names"))
        paths: dict[str, Any] = {key: _path(value) for key, value in values.items()}
        return Settings(**kept, telemetry=told, names=names, beside=beside, **paths)


def _telemetry(values: dict[str, Any]) -> Telemetry:
    return Telemetry(**{**values, "access_log": _path(values["access_log"])})


def _path(value: str | None) -> Path | None:
    return None if value is None else Path(value)
