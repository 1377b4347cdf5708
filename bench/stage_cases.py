"""What a stage is given, which engines run it, and what each must return for its speed to count."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import onnxruntime as ort
import torch
from numpy.typing import NDArray
from torch import nn

from ..export.build import eager_system
from ..export.bundle.ports import TEXT_ENCODER, VIDEO_ENCODER
from ..export.bundle.store import Bundle
from ..export.bundle.video.decode import decode
from ..export.corpus.generate import write_corpus
from ..export.graphs import graphs, random_video_inputs
from ..export.parity_rows import row
from .published import Published
from .stage_attention import MOST_TEXTS, Attended
from .stage_records import Recorded
from .stage_scores import SCORING, Given, score_case

TOKENISE, TEXT_TOWER, DECODE, VIDEO_TOWER = "tokenise", "text tower", "decode", "video tower"
EAGER, COMPILED, ONNX, OURS = "torch eager", "torch.compile", "onnxruntime", "framesift"
# How many texts, and how many videos.
TEXTS, VIDEOS, GALLERIES = (1, 8, 32), (1, 4), (1_000, 10_000)

# ONNX Runtime's other providers, where they are installed.
_PROVIDERS = {
    f"{ONNX}, CUDA": "CUDAExecutionProvider",
    f"{ONNX}, TensorRT": "TensorrtExecutionProvider",
}

Arrays = Sequence[NDArray[Any]]
Run = Callable[[], Any]


@dataclass(frozen=True)
class Spec:
    """A case before anything is made for it: ``batch`` texts or videos, against a gallery of ``videos``, if any."""

    stage: str
    batch: int
    videos: int | None = None

    def __str__(self) -> str:
        return f"{self.stage}, batch {self.batch}" + ("" if self.videos is None else f", {self.videos} videos")


@dataclass(frozen=True)
class Case:
    """Engines of one stage on the same inputs.

    Attributes:
        fault: says in words where an engine's output differs from eager float64 by more than it may, else None.
        baseline: the engine that the others are measured against.
    """

    spec: Spec
    engines: Mapping[str, Run]
    fault: Callable[[Any], str | None]
    baseline: str = EAGER


def specs(galleries: Sequence[int] = GALLERIES) -> list[Spec]:
    """Every case, in the order in which a search and an indexing pass through the stages."""
    return [
        *(Spec(stage, batch) for stage in (TOKENISE, TEXT_TOWER) for batch in TEXTS),
        *(Spec(stage, batch) for stage in (DECODE, VIDEO_TOWER) for batch in VIDEOS),
        *(Spec(stage, batch, size) for size in galleries for stage in SCORING for batch in TEXTS),
    ]


class Stages:
    """Makes the cases of one bundle; what several of them need is made once.

    Args:
        wanted: whether an engine of that name shall run.
    """

    def __init__(self, bundle: Bundle, texts: Sequence[str], work: Path, wanted: Callable[[str], bool]) -> None:
        self.bundle, self.texts, self._work, self._wanted = bundle, list(texts), work, wanted
        self.tokenizer = bundle.tokenizer()
        self._narrow, self._wide = eager_system(bundle).eval(), eager_system(bundle).double().eval()
        self._modules: dict[tuple[str, str], Any] = {}
        self._gallery: tuple[int, Given] | None = None

    def case(self, spec: Spec) -> Case | None:
        """A case ready to run, or None where this model has no such stage or no engine for it is wanted."""
        made: Case | None
        if spec.stage == TOKENISE:
            made = self._tokenise(spec)
        elif spec.stage == DECODE:
            made = self._decode(spec)
        elif spec.stage in SCORING:
            found = score_case(spec.stage, self._scored(spec.videos or 0), spec.batch)
            made = None if found is None else Case(spec, *found)
        else:
            made = self._tower(spec)
        if made is None:
            return None
        chosen = {name: run for name, run in made.engines.items() if self._wanted(name)}
        return Case(spec, chosen, made.fault, made.baseline) if chosen else None

    def _scored(self, videos: int) -> Given:
        # A gallery of one size is scored in many cases, one after another.
        if self._gallery is None or self._gallery[0] != videos:
            narrow, wide = (Published(system, self.bundle.manifest) for system in (self._narrow, self._wide))
            given: Given
            if self._narrow.published is not self._narrow:
                given = Attended(narrow, wide, self.bundle, videos)
            else:
                ids = torch.from_numpy(self.tokenizer.encode(self.texts[:MOST_TEXTS]))
                given = Recorded(narrow, wide, self.bundle, videos, ids)
            self._gallery = videos, given
        return self._gallery[1]

    def _tokenise(self, spec: Spec) -> Case:
        # Other texts in every call: a service is not asked the same ones again and again.
        starts = range(0, len(self.texts) - spec.batch + 1, spec.batch)
        batches = itertools.cycle([self.texts[i : i + spec.batch] for i in starts])
        fixed = self.texts[: spec.batch]
        alone = [self.tokenizer.encode([text])[0] for text in fixed]

        def fault(_: object) -> str | None:
            together = self.tokenizer.encode(fixed)
            ends = [len(ids[ids != 0]) for ids in alone]
            same = all((row[:n] == ids[:n]).all() for row, ids, n in zip(together, alone, ends, strict=True))
            return None if same else "a batch gives other ids than its texts alone"

        return Case(spec, {OURS: lambda: self.tokenizer.encode(next(batches))}, fault, OURS)

    def _decode(self, spec: Spec) -> Case:
        profile = self.bundle.manifest.frames
        files = [path.read_bytes() for path in self._videos()[: spec.batch]]
        expected = [decode(path, profile).frames for path in self._videos()[: spec.batch]]

        def fault(found: list[NDArray[Any]]) -> str | None:
            same = all((mine == want).all() for mine, want in zip(found, expected, strict=True))
            return None if same else "bytes decode to other frames than the file they are of"

        return Case(spec, {OURS: lambda: [decode(data, profile).frames for data in files]}, fault, OURS)

    def _videos(self) -> list[Path]:
        folder = self._work / "stage-videos"
        found = sorted(folder.glob("*.mp4"))
        if len(found) < max(VIDEOS):
            found = [clip.video for clip in write_corpus(folder, max(VIDEOS), "test", 0)]
        return found

    def _tower(self, spec: Spec) -> Case:
        graph = TEXT_ENCODER if spec.stage == TEXT_TOWER else VIDEO_ENCODER
        inputs: tuple[torch.Tensor, ...]
        if graph == TEXT_ENCODER:
            inputs = (torch.from_numpy(self.tokenizer.encode(self.texts[: spec.batch])),)
        else:
            inputs = random_video_inputs(self._narrow, spec.batch, torch.Generator().manual_seed(0))
        with torch.inference_mode():
            reference = self._module(graph, "double")(*(x.double() if x.is_floating_point() else x for x in inputs))

        def fault(found: Arrays) -> str | None:
            rows = [row(spec.stage, mine, want) for mine, want in zip(found, reference, strict=True)]
            worst = max(rows, key=lambda one: one.rms_error)
            return None if all(one.ok for one in rows) else f"max {worst.max_error:.1e}, RMS {worst.rms_error:.1e}"

        return Case(spec, dict(self._towers(graph, inputs)), fault)

    def _towers(self, graph: str, inputs: tuple[torch.Tensor, ...]) -> Iterator[tuple[str, Run]]:
        feeds = {
            port.name: x.numpy() for port, x in zip(self.bundle.manifest.graphs[graph].inputs, inputs, strict=True)
        }
        present = set(ort.get_available_providers())
        providers = {ONNX: "CPUExecutionProvider", **{k: v for k, v in _PROVIDERS.items() if v in present}}
        for name, provider in providers.items():
            if self._wanted(name):
                yield name, partial(self._session(graph, provider).run, None, feeds)
        # A compiled module needs a C++ compiler.
        places = [(EAGER, "cpu"), *([(COMPILED, "cpu")] if shutil.which("g++") else [])]
        if torch.cuda.is_available():
            places += [(f"{EAGER}, CUDA", "cuda"), (f"{COMPILED}, CUDA", "cuda")]
        for name, device in places:
            if self._wanted(name):
                yield name, partial(_eager, self._module(graph, name), [x.to(device) for x in inputs])

    def _session(self, graph: str, provider: str) -> Any:
        if (graph, provider) not in self._modules:
            options = ort.SessionOptions()
            options.intra_op_num_threads = torch.get_num_threads()
            # As they are served; threads that spin would also take time from the engine that comes next.
            options.add_session_config_entry("session.intra_op.allow_spinning", "0")
            session = ort.InferenceSession(str(self.bundle.graph(graph)), options, providers=[provider])
            self._modules[graph, provider] = session
        return self._modules[graph, provider]

    def _module(self, graph: str, kind: str) -> Any:
        if (graph, kind) not in self._modules:
            system = self._wide if kind == "double" else self._narrow
            module: nn.Module = graphs(system)[graph]
            if kind.endswith("CUDA"):
                # Another copy: the first one stays on the CPU.
                module = graphs(eager_system(self.bundle).eval())[graph].cuda()
            self._modules[graph, kind] = torch.compile(module) if kind.startswith(COMPILED) else module
        return self._modules[graph, kind]


def _eager(module: nn.Module, given: Sequence[torch.Tensor]) -> list[NDArray[Any]]:
    with torch.inference_mode():
        return [x.cpu().numpy() for x in module(*given)]
