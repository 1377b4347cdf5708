"""Exported graphs against eager PyTorch in float64, on fresh random inputs."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..kernels.topk_attention.factorised import FactorisedHead
from .bundle.errors import ParityError
from .bundle.ports import (
    ATTENTION,
    FRAMES,
    SCORER,
    TEXT_ENCODER,
    TOKEN_IDS,
    VIDEO_ENCODER,
)
from .graphs import graphs, random_frames, random_token_ids
from .systems.dong2026 import Dong2026

# Largest RMS of the error, relative to the RMS of the reference. Float32 towers of 12 to 24 layers come out near 1e-6;
# a wrong weight, mask or length shows as 1e-2 and more.
RMS_LIMIT = 2e-5
MAX_LIMIT = 2e-4
# Share of the reference's ten best videos that the graphs must find.
OVERLAP_LIMIT = 0.99
# Pairs that may keep another set of frames, because two logits lie closer than rounding.
SWAP_LIMIT = 1e-3

# How many rows compare_graphs yields, for progress bars.
COMPARISONS = 16


@dataclass(frozen=True)
class Row:
    """One comparison. Errors are relative to the reference's RMS; ``agreement`` is the top-10 overlap, if any."""

    stage: str
    max_error: float
    rms_error: float
    agreement: float | None = None
    swaps: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether every number lies within its limit; NaN does not."""
        close = self.max_error <= MAX_LIMIT and self.rms_error <= RMS_LIMIT
        return close and (self.agreement is None or self.agreement >= OVERLAP_LIMIT) and self.swaps <= SWAP_LIMIT

    def as_json(self) -> dict[str, Any]:
        """For the manifest."""
        return {**asdict(self), "ok": self.ok}


def compare_graphs(model: Dong2026, folder: Path, *, seed: int | None = None) -> Iterator[Row]:
    """Compare every graph in ``folder`` with ``model`` in float64, yielding a row as each is done.

    Args:
        model: the eager model; it is left in float64.
        seed: of the random inputs; fresh ones without it.
    """
    generator = torch.Generator().manual_seed(secrets.randbits(40) if seed is None else seed)
    model.double().eval()
    modules = graphs(model)
    yield from _video(model, modules[VIDEO_ENCODER], _session(folder, VIDEO_ENCODER), generator)
    yield from _text(model, modules[TEXT_ENCODER], _session(folder, TEXT_ENCODER), generator)
    yield _scorer(model, modules, _session(folder, SCORER), generator)


def demand(rows: Sequence[Row]) -> None:
    """Raise ParityError, naming each stage that breaches its limits."""
    worst = [row for row in rows if not row.ok]
    if worst:
        listing = "; ".join(f"{r.stage}: max {r.max_error:.1e}, RMS {r.rms_error:.1e}" for r in worst)
        raise ParityError(f"the graphs disagree with eager PyTorch: {listing}")


def rows_of(recorded: Sequence[Mapping[str, Any]]) -> list[Row]:
    """The rows that a manifest recorded."""
    return [Row(**{key: value for key, value in row.items() if key != "ok"}) for row in recorded]


def table(rows: Sequence[Row]) -> str:
    """The rows as aligned text."""
    head = ("stage", "max error", "RMS error", "top-10", "swaps", "")
    cells = [
        (
            row.stage,
            f"{row.max_error:.1e}",
            f"{row.rms_error:.1e}",
            "" if row.agreement is None else f"{row.agreement:.4f}",
            f"{row.swaps:.1e}" if row.swaps else "",
            "ok" if row.ok else "BREACH",
        )
        for row in rows
    ]
    widths = [max(len(line[i]) for line in (head, *cells)) for i in range(len(head))]
    return "\n".join(
        "  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() for line in (head, *cells)
    )


def _session(folder: Path, name: str) -> ort.InferenceSession:
    return ort.InferenceSession(str(folder / f"{name}.onnx"), providers=["CPUExecutionProvider"])


def _row(stage: str, got: NDArray[Any], want: Tensor, **more: float) -> Row:
    reference = want.detach().numpy()
    scale = float(np.sqrt(np.mean(reference**2)))
    error = np.abs(got - reference) / scale
    return Row(stage, float(error.max()), float(np.sqrt(np.mean(error**2))), **more)


@torch.no_grad()
def _video(
    model: Dong2026, encoder: nn.Module, session: ort.InferenceSession, generator: torch.Generator
) -> Iterator[Row]:
    for batch in (1, 3):
        frames = random_frames(model, batch, generator)
        got = session.run(None, {FRAMES: frames.numpy()})
        for port, mine, reference in zip(session.get_outputs(), got, encoder(frames), strict=True):
            yield _row(f"{VIDEO_ENCODER} {port.name}, batch {batch}", mine, reference)


@torch.no_grad()
def _text(
    model: Dong2026, encoder: nn.Module, session: ort.InferenceSession, generator: torch.Generator
) -> Iterator[Row]:
    longest = model.config.clip.context_length
    for length in (16, 32, longest):
        ids = random_token_ids(model, 5, min(length, longest), generator)
        # The reference always runs at full length: a shorter graph must give the very same record.
        padded = torch.zeros(5, longest, dtype=torch.int64)
        padded[:, : ids.shape[1]] = ids
        got = session.run(None, {TOKEN_IDS: ids.numpy()})
        for port, mine, reference in zip(session.get_outputs(), got, encoder(padded), strict=True):
            yield _row(f"{TEXT_ENCODER} {port.name}, length {ids.shape[1]}", mine, reference)


@torch.no_grad()
def _scorer(
    model: Dong2026, modules: Mapping[str, nn.Module], session: ort.InferenceSession, generator: torch.Generator
) -> Row:
    """Records made in float64, scored by the graph in float32, against the published formula in float64."""
    queries, videos = 33, 129
    width = model.config.clip.embed_dim
    scene = torch.randn(videos, 1, width, generator=generator)
    frames = (scene + 0.5 * torch.randn(videos, model.config.frames, width, generator=generator)).double()
    text = torch.randn(queries, width, generator=generator).double()
    head = modules[VIDEO_ENCODER].head
    assert isinstance(head, FactorisedHead)
    records = (*head.encode_text(text), *head.encode_video(frames))
    names = (port.name for port in session.get_inputs())
    scores, attention = session.run(None, {n: r.float().numpy() for n, r in zip(names, records, strict=True)})
    reference, weights = model.score(text, frames)
    # Where rounding swapped two nearly equal logits another frame was pooled: such pairs are counted, not compared.
    same = ((attention > 0) == (weights.numpy() > 0)).all(-1)
    best, mine = (np.argsort(-s, axis=1, kind="stable")[:, :10] for s in (reference.numpy(), scores))
    overlap = np.mean([len(set(a) & set(b)) / len(a) for a, b in zip(best, mine, strict=True)])
    kept = torch.from_numpy(same)
    worst = _row(ATTENTION, attention[same], weights[kept])
    row = _row(SCORER, scores[same], reference[kept], agreement=float(overlap), swaps=float(1 - same.mean()))
    return (
        row
        if row.max_error >= worst.max_error
        else Row(SCORER, worst.max_error, worst.rms_error, row.agreement, row.swaps)
    )
