"""What a server serves: a model with a backend of its own, or models one after another."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from ...export.bundle.engines.profiles import Range
from ...export.bundle.models import FEATURE_READER, VIDEO_DECODER
from ...export.bundle.ports import FEATURES, ID, PART, VIDEO
from ...export.bundle.spec import TensorSpec

# What a request brings once, whichever models read it.
_SHARED = frozenset({VIDEO, FEATURES, ID, PART})


@dataclass(frozen=True)
class Batching:
    """How requests wait for one another: how many may wait, and for how long before they are refused.

    Without such bounds the server fetches the next batch while one runs. With them it does not, and may begin one up to
    half a second late.
    """

    max_queue: int | None = None
    timeout_s: float | None = None
    ragged: bool = False


@dataclass(frozen=True)
class Warmup:
    """One request run at load. Every dimension that varies takes its value from ``sizes``; texts come from a file."""

    sizes: Mapping[str, int] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class Model:
    """A model with a backend of its own. Dimensions leave out the batch where ``max_batch`` is not 0.

    ``body`` names the class of a Python model, which finds the bundle's manifest and its ``files`` in its folder;
    without it the model is an ONNX graph. ``prefix`` begins the name where it is a model of the bundle that chooses
    candidates. ``optional`` are inputs that a request may lack, and ``answers`` are outputs that come with such an
    input alone, with its name. ``ranges`` are the shapes of a graph's inputs, with their batch, where all are known
    before. ``profiles`` are those of its TensorRT engine.
    """

    name: str
    max_batch: int
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    body: str | None = None
    files: tuple[str, ...] = ()
    instances: int = 1
    batching: Batching | None = None
    warmup: Warmup | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)
    prefix: str = ""
    optional: frozenset[str] = frozenset()
    ranges: Mapping[str, Range] = field(default_factory=dict)
    profiles: int = 1
    answers: Mapping[str, str] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """What it is called where it serves a bundle by itself."""
        return self.name.removeprefix(self.prefix)

    def called(self, port: str) -> str:
        """The name that an ensemble gives one of its tensors."""
        return port if port in _SHARED else self.prefix + port

    def chosen_by(self, prefix: str) -> Model:
        """The same model for the bundle that chooses candidates."""
        return replace(self, name=prefix + self.name, prefix=prefix)


@dataclass(frozen=True)
class Ensemble:
    """Models run one after another on the server.

    A tensor keeps its name from step to step: each member reads what it needs from the inputs and earlier outputs.
    Those of a model with a prefix have it before their names.
    """

    name: str
    max_batch: int
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    steps: tuple[Model, ...]


Served = Model | Ensemble


def readers_of(models: Mapping[str, Model]) -> tuple[Model, ...]:
    """What opens the files of a video."""
    return tuple(models[name] for name in (VIDEO_DECODER, FEATURE_READER) if name in models)


def brought_to(readers: Iterable[Model]) -> tuple[TensorSpec, ...]:
    """What every request has to bring for these models, each once."""
    named = {port.name: port for reader in readers for port in reader.inputs if port.name not in reader.optional}
    return tuple(named.values())
