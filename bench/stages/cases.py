"""The cases of one bundle, ready to run."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray

from ...export.build import eager_system
from ...export.bundle.ports import TEXT_ENCODER, VIDEO_ENCODER
from ...export.bundle.scorers import scorer_of
from ...export.bundle.store import Bundle
from ...export.bundle.video.decode import decode
from ...export.graphs import random_video_inputs
from ...export.systems.contract import System
from ..inputs.clips import generate
from ..inputs.published import Published
from .attended import Attended
from .case import DECODE, OURS, SCORING, TEXT_TOWER, TOKENISE, VIDEOS, Case, Spec
from .recorded import Recorded
from .scored import MOST_TEXTS, Scored
from .scores import score_case
from .towers import Towers


class Stages:
    """Makes the cases of one bundle; what several of them need is made once.

    Args:
        wanted: whether an engine of that name shall run.
    """

    def __init__(self, bundle: Bundle, texts: Sequence[str], work: Path, wanted: Callable[[str], bool]) -> None:
        self.bundle, self.texts, self._work, self._wanted = bundle, list(texts), work, wanted
        self.tokenizer = bundle.tokenizer()
        self._gallery: tuple[int, Scored] | None = None

    # Loading a large model takes longer than to decode or tokenise, which needs none.
    @cached_property
    def _narrow(self) -> System:
        return eager_system(self.bundle).eval()

    @cached_property
    def _wide(self) -> System:
        return eager_system(self.bundle).double().eval()

    @cached_property
    def _towers(self) -> Towers:
        return Towers(self.bundle, self._narrow, self._wide, self._wanted)

    def case(self, spec: Spec) -> Case | None:
        """A case ready to run, or None where this model has no such stage or no engine for it is wanted."""
        made = self._made(spec)
        if made is None:
            return None
        chosen = {name: run for name, run in made.engines.items() if self._wanted(name)}
        return replace(made, engines=chosen) if chosen else None

    def _made(self, spec: Spec) -> Case | None:
        if spec.stage == TOKENISE:
            return self._tokenise(spec)
        if spec.stage == DECODE:
            return self._decode(spec)
        if spec.stage in SCORING:
            return score_case(spec, self._scored(spec.videos or 0))
        if spec.stage == TEXT_TOWER:
            return self._towers.case(spec, TEXT_ENCODER, [self._ids(spec.batch)])
        pixels = random_video_inputs(self._narrow, spec.batch, torch.Generator().manual_seed(0))
        return self._towers.case(spec, VIDEO_ENCODER, pixels)

    def _ids(self, count: int) -> torch.Tensor:
        return torch.from_numpy(self.tokenizer.encode(self.texts[:count]))

    def _scored(self, size: int) -> Scored:
        # A gallery of one size is scored in many cases, one after another.
        if self._gallery is None or self._gallery[0] != size:
            narrow, wide = (Published(system, self.bundle.manifest) for system in (self._narrow, self._wide))
            kind = Attended if scorer_of(self.bundle.manifest).search == "topk_attention" else Recorded
            self._gallery = size, kind(narrow, wide, self.bundle, size, self._ids(MOST_TEXTS))
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
        profile, paths = self.bundle.manifest.pictures, self._clips()[: spec.batch]
        files = [path.read_bytes() for path in paths]
        expected = [decode(path, profile).frames for path in paths]

        def fault(found: list[NDArray[Any]]) -> str | None:
            same = all((mine == want).all() for mine, want in zip(found, expected, strict=True))
            return None if same else "bytes decode to other frames than the file they are of"

        return Case(spec, {OURS: lambda: [decode(data, profile).frames for data in files]}, fault, OURS)

    def _clips(self) -> list[Path]:
        folder = self._work / "stage-videos"
        found = sorted(folder.glob("*.mp4"))
        return found if len(found) >= max(VIDEOS) else generate(folder, max(VIDEOS))
