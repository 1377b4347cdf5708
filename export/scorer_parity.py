"""A scorer graph against the published formula in float64, on random records."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import onnxruntime as ort
import torch
from numpy.typing import NDArray
from torch import Tensor

from .bundle.ports import ATTENTION, MASKS, SCORER
from .bundle.spec import TensorSpec
from .evaluation.overlap import top_overlap
from .freed import give_back
from .graphs import random_mask
from .parity_rows import Row, row
from .systems.contract import Record, System


@torch.no_grad()
def compare_scorer(
    system: System, session: Callable[[], ort.InferenceSession], clips: Record, generator: torch.Generator
) -> Row:
    """Records made in float64, scored by the graph in float32, against ``system.published`` in float64.

    Args:
        session: loads the graph, which is gone again before the reference is computed.
        clips: what ``system.published`` encodes of some clips, in float64; all videos are made of them.
    """
    queries, videos = system.scorer.compared
    authors = system.published
    text = authors.encode_text(system.random_token_ids(4, system.max_tokens, generator))
    text = _more(authors.text_record, text, queries, generator)
    video = _more(authors.video_record, clips, videos, generator)
    scores, *attention = _run(session(), (*system.reduce_text(text), *system.reduce_video(video)))
    give_back()
    if not system.scorer.attends:
        return _scores(scores, _reference(authors, text, video))
    reference, weights = authors.attend(text, video)
    if not system.scorer.selects:
        return _worse(_scores(scores, reference), row(ATTENTION, attention[0], weights))
    # Where rounding swapped two nearly equal logits another frame was kept: such pairs are counted, not compared.
    same = ((attention[0] > 0) == (weights.numpy() > 0)).all(-1)
    kept = torch.from_numpy(same)
    overlap = top_overlap(scores, reference.numpy())
    found = row(SCORER, scores[same], reference[kept], overlap=overlap, swaps=float(1 - same.mean()))
    return _worse(found, row(ATTENTION, attention[0][same], weights[kept]))


def _reference(authors: System, text: Record, video: Record) -> Tensor:
    """Scores of all pairs; one after the other where a whole transformer runs for each."""
    if authors.scorer.search != "shortlist":
        return authors.score(text, video)
    rows = (
        [authors.score([x[q : q + 1] for x in text], [x[v : v + 1] for x in video]) for v in range(len(video[0]))]
        for q in range(len(text[0]))
    )
    return torch.cat([torch.cat(row, 1) for row in rows])


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
        if tensor.name in MASKS:
            made.append(random_mask(rows, tensor.shape[0], generator).double())
            continue
        mixed = torch.einsum("rc,c...->r...", shares, values)
        noise = torch.randn(mixed.shape, generator=generator).double()
        mixed = mixed + 0.5 * values.square().mean().sqrt() * noise
        made.append(mixed / mixed.norm(dim=-1, keepdim=True) * values[like].norm(dim=-1, keepdim=True))
    return tuple(made)


def wide(x: Tensor) -> Tensor:
    """In float64, if it is of numbers that aren't whole."""
    return x.double() if x.is_floating_point() else x


def _run(session: ort.InferenceSession, records: Sequence[Tensor]) -> list[NDArray[Any]]:
    names = [port.name for port in session.get_inputs()]
    feeds = {name: tensor.float().numpy() for name, tensor in zip(names, records, strict=True)}
    outputs: list[NDArray[Any]] = session.run(None, feeds)
    return outputs


def _scores(scores: NDArray[Any], reference: Tensor) -> Row:
    return row(SCORER, scores, reference, overlap=top_overlap(scores, reference.numpy()))


def _worse(scores: Row, attention: Row) -> Row:
    if scores.max_error >= attention.max_error:
        return scores
    return Row(SCORER, attention.max_error, attention.rms_error, scores.overlap, scores.swaps)
