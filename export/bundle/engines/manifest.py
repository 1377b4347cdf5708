"""What a folder of engines says of itself: by what they were built, from which graphs, for which GPUs and shapes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ..errors import EngineError
from ..ports import GRAPHS
from .profiles import EngineLimits, Range

MANIFEST = "engines.json"
FORMAT = 1


@dataclass(frozen=True)
class GraphEngine:
    """One engine. ``source`` is the SHA-256 of the bundle's ONNX file, ``sha256`` that of the engine's.

    ``others`` are profiles beside the first, and ``plugin`` says whether the scorer's node is our own kernel.
    """

    source: str
    sha256: str
    bytes: int
    seconds: float
    profile: Mapping[str, Range]
    others: tuple[Mapping[str, Range], ...] = ()
    plugin: bool = False

    @property
    def profiles(self) -> list[Mapping[str, Range]]:
        """All of them, in the engine's order."""
        return [self.profile, *self.others]


@dataclass(frozen=True)
class EngineManifest:
    """What was built, by what and for which GPUs.

    ``capabilities`` are like ``sm_89``; ``gpu`` and ``driver`` are of the machine that built, None where it has no GPU;
    ``cuda`` is the major version that TensorRT was made for, None where that is unknown; ``gate`` is what the gate on
    ranking found, None where nobody asked it.
    """

    flavour: str
    version: str
    precision: str
    capabilities: tuple[str, ...]
    gpu: str | None
    driver: str | None
    cuda: int | None
    version_compatible: bool
    hardware: str
    limits: EngineLimits
    fingerprint: str
    graphs: Mapping[str, GraphEngine]
    date: str
    framesift: str
    gate: Mapping[str, Any] | None = None

    def to_json(self) -> str:
        """The manifest as JSON text."""
        return json.dumps({"format": FORMAT, **asdict(self)}, indent=2) + "\n"

    @staticmethod
    def from_json(text: str) -> EngineManifest:
        """Read a manifest.

        Raises:
            EngineError: not JSON, of another format, or with a field missing or unknown.
        """
        try:
            values = json.loads(text)
            found = values.pop("format")
            if found != FORMAT:
                raise EngineError(f"{MANIFEST} has format {found}, this framesift reads format {FORMAT}: build again")
            graphs = {name: _graph(row) for name, row in values.pop("graphs").items()}
            limits, capabilities = EngineLimits(**values.pop("limits")), tuple(values.pop("capabilities"))
            manifest = EngineManifest(graphs=graphs, limits=limits, capabilities=capabilities, **values)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise EngineError(f"{MANIFEST} can't be read: {repr(error)[:200]}. Build the engines again") from error
        if set(graphs) != set(GRAPHS):
            raise EngineError(f"{MANIFEST} lists {sorted(graphs)}, expected {sorted(GRAPHS)}: build the engines again")
        return manifest


def _graph(row: Mapping[str, Any]) -> GraphEngine:
    others = tuple(_ranges(spans) for spans in row.get("others", ()))
    return GraphEngine(**{**row, "profile": _ranges(row["profile"]), "others": others})


def _ranges(spans: Mapping[str, Any]) -> dict[str, Range]:
    return {name: Range(tuple(span["min"]), tuple(span["opt"]), tuple(span["max"])) for name, span in spans.items()}
