"""Exported graphs against eager PyTorch in float64, on fresh random inputs."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import onnxruntime as ort
import torch
from torch import nn

from .bundle.ports import NOISE, SCORER, TEXT_ENCODER, TOKEN_IDS, VIDEO_ENCODER
from .graphs import graphs, random_video_inputs
from .parity_rows import Row, row
from .scorer_parity import compare_scorer
from .systems.contract import System
from .vocabulary import buckets

_BATCHES = (1, 3)
# A system that selects by noise takes hundreds of thousands of decisions a clip, and rounding may turn one of them:
# then other noise is drawn, at most so many times.
_DRAWS = 4


def comparisons(system: System) -> int:
    """How many rows ``compare_graphs`` yields."""
    return (
        len(_BATCHES) * len(system.video_record)
        + len(buckets(system.max_tokens, fixed=system.fixed_length)) * len(system.text_record)
        + 1
    )


def compare_graphs(system: System, folder: Path, *, seed: int | None = None) -> Iterator[Row]:
    """Compare every graph in ``folder`` with ``system`` in float64, yielding a row as each is done.

    Args:
        system: the eager system; its weights are left in float64.
        seed: of the random inputs; fresh ones without it.
    """
    generator = torch.Generator().manual_seed(secrets.randbits(40) if seed is None else seed)
    system.double()
    modules = graphs(system)
    for batch in _BATCHES:
        yield from _video(system, modules[VIDEO_ENCODER], _session(folder, VIDEO_ENCODER), batch, generator)
    yield from _text(system, modules[TEXT_ENCODER], _session(folder, TEXT_ENCODER), generator)
    yield compare_scorer(system.folded(), _session(folder, SCORER), generator)


def _session(folder: Path, name: str) -> ort.InferenceSession:
    return ort.InferenceSession(str(folder / f"{name}.onnx"), providers=["CPUExecutionProvider"])


@torch.no_grad()
def _video(
    system: System, encoder: nn.Module, session: ort.InferenceSession, batch: int, generator: torch.Generator
) -> list[Row]:
    names = [tensor.name for tensor in system.video_inputs]
    rows: list[Row] = []
    for _ in range(_DRAWS if NOISE in names else 1):
        inputs = random_video_inputs(system, batch, generator)
        got = session.run(None, {name: x.numpy() for name, x in zip(names, inputs, strict=True)})
        want = encoder(*(x.double() if x.is_floating_point() else x for x in inputs))
        rows = [
            row(f"{VIDEO_ENCODER} {tensor.name}, batch {batch}", mine, reference)
            for tensor, mine, reference in zip(system.video_record, got, want, strict=True)
        ]
        if all(row.ok for row in rows):
            break
    return rows


@torch.no_grad()
def _text(
    system: System, encoder: nn.Module, session: ort.InferenceSession, generator: torch.Generator
) -> Iterator[Row]:
    longest = system.max_tokens
    for length in buckets(system.max_tokens, fixed=system.fixed_length):
        ids = system.random_token_ids(5, length, generator)
        # The reference always runs at full length: a shorter graph must give the very same record.
        padded = torch.zeros(5, longest, dtype=torch.int64)
        padded[:, :length] = ids
        got = session.run(None, {TOKEN_IDS: ids.numpy()})
        for tensor, mine, reference in zip(system.text_record, got, encoder(padded), strict=True):
            yield row(f"{TEXT_ENCODER} {tensor.name}, length {length}", mine, reference)
