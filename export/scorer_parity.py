"""A scorer graph against the eager score in float64, on random records."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnxruntime as ort
import torch
from numpy.typing import NDArray
from torch import Tensor

from .bundle.ports import ATTENTION, FRAME_MASK, SCORER
from .bundle.scorers import SCORERS
from .bundle.spec import TensorSpec
from .graphs import random_mask, random_token_ids, random_video_inputs
from .parity_rows import Row, row
from .systems.contract import System
from .systems.factorised import Factorised


@torch.no_grad()
def compare_scorer(system: System, session: ort.InferenceSession, generator: torch.Generator) -> Row:
    """Records made in float64, scored by the graph in float32, against ``system`` in float64."""
    if isinstance(system, Factorised):
        return _topk(system, session, generator)
    queries, videos = SCORERS[system.scorer].compared
    text = system.encode_text(random_token_ids(system, 4, system.words, generator))
    video = system.encode_video(*(_wide(x) for x in random_video_inputs(system, 3, generator)))
    text = _more(system.text_record, text, queries, generator)
    video = _more(system.video_record, video, videos, generator)
    if system.attends:
        reference, weights = system.attend(text, video)
        scores, attention = _run(session, (*text, *video))
        return _worse(_scores(scores, reference), row(ATTENTION, attention, weights))
    return _scores(_run(session, (*text, *video))[0], system.score(text, video))


def _topk(system: Factorised, session: ort.InferenceSession, generator: torch.Generator) -> Row:
    """The reference is the published formula, not its factorised form."""
    queries, videos = SCORERS[system.scorer].compared
    width, frames_each = system.shape.width, system.frames
    scene = torch.randn(videos, 1, width, generator=generator)
    frames = (scene + 0.5 * torch.randn(videos, frames_each, width, generator=generator)).double()
    text = torch.randn(queries, width, generator=generator).double()
    records = (*system.head.encode_text(text), *system.head.encode_video(frames))
    scores, attention = _run(session, records)
    reference, weights = system.model.score(text, frames)
    # Where rounding swapped two nearly equal logits another frame was pooled: such pairs are counted, not compared.
    same = ((attention > 0) == (weights.numpy() > 0)).all(-1)
    kept = torch.from_numpy(same)
    swaps = float(1 - same.mean())
    found = row(SCORER, scores[same], reference[kept], agreement=_overlap(scores, reference), swaps=swaps)
    return _worse(found, row(ATTENTION, attention[same], weights[kept]))


def _more(
    record: Sequence[TensorSpec], sample: Sequence[Tensor], rows: int, generator: torch.Generator
) -> tuple[Tensor, ...]:
    """``rows`` records like those of a sample: mixed and disturbed, every vector as long as one of the sample's."""
    count = len(sample[0])
    shares = (2 * torch.randn(rows, count, generator=generator)).softmax(-1).double()
    like = torch.randint(0, count, (rows,), generator=generator)
    made = []
    for tensor, values in zip(record, sample, strict=True):
        if not tensor.scored:
            continue
        if tensor.name == FRAME_MASK:
            made.append(random_mask(rows, tensor.shape[0], generator).double())
            continue
        mixed = torch.einsum("rc,c...->r...", shares, values)
        noise = torch.randn(mixed.shape, generator=generator).double()
        mixed = mixed + 0.5 * values.square().mean().sqrt() * noise
        made.append(mixed / mixed.norm(dim=-1, keepdim=True) * values[like].norm(dim=-1, keepdim=True))
    return tuple(made)


def _wide(x: Tensor) -> Tensor:
    return x.double() if x.is_floating_point() else x


def _run(session: ort.InferenceSession, records: Sequence[Tensor]) -> list[NDArray[Any]]:
    names = [port.name for port in session.get_inputs()]
    feeds = {name: tensor.float().numpy() for name, tensor in zip(names, records, strict=False)}
    outputs: list[NDArray[Any]] = session.run(None, feeds)
    return outputs


def _scores(scores: NDArray[Any], reference: Tensor) -> Row:
    return row(SCORER, scores, reference, agreement=_overlap(scores, reference))


def _overlap(scores: NDArray[Any], reference: Tensor) -> float:
    best, mine = (np.argsort(-s, axis=1, kind="stable")[:, :10] for s in (reference.numpy(), scores))
    return float(np.mean([len(set(a) & set(b)) / len(a) for a, b in zip(best, mine, strict=True)]))


def _worse(scores: Row, attention: Row) -> Row:
    if scores.max_error >= attention.max_error:
        return scores
    return Row(SCORER, attention.max_error, attention.rms_error, scores.agreement, scores.swaps)
