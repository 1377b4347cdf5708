"""Exported graphs against eager PyTorch in float64, on fresh random inputs."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import onnxruntime as ort
import torch
from numpy.typing import NDArray
from torch import Tensor

from .bundle.ports import LIKE_ENCODER, NOISE, SCORER, TEXT_ENCODER, TOKEN_IDS, VIDEO_ENCODER
from .freed import give_back
from .graphs import TextEncoder, VideoEncoder, random_video_inputs
from .parity_rows import Row, row
from .scorer_parity import compare_scorer, wide
from .systems.contract import Record, System
from .vocabulary import buckets

# Clips that are compared, and which of them the graph gets as a batch: one of two at either place gives one record.
CLIPS = 2
_BATCHES = ((1,), (0, 1, 0))
# The most clips that a graph gets at once, and all that it gets.
CLIPS_AT_ONCE, GRAPH_CLIPS = max(map(len, _BATCHES)), sum(map(len, _BATCHES))
# A system that selects by noise takes hundreds of thousands of decisions a clip, and rounding may turn one of them:
# then other noise is drawn, at most so many times.
_DRAWS = 4
# A clip in eager float64 takes about so many times what it takes in a float32 graph.
WIDER = 3


def comparisons(system: System) -> int:
    """How many rows ``compare_graphs`` yields."""
    like = len(system.text_record) if system.like_inputs else 0
    return len(_BATCHES) * len(system.video_record) + len(_lengths(system)) * len(system.text_record) + like + 1


def steps(system: System) -> int:
    """What ``compare_graphs`` reports as done, all together; a step is a clip in a graph, or about as long."""
    return GRAPH_CLIPS + CLIPS * WIDER + len(_lengths(system)) + bool(system.like_inputs) + 1


def compare_graphs(
    system: System, folder: Path, *, seed: int | None = None, done: Callable[[int], None] = lambda steps: None
) -> Iterator[Row]:
    """Compare every graph in ``folder`` with ``system`` in float64, yielding a row as each is done.

    One graph is loaded at a time, and none while the weights are widened: either may take most of a machine's memory.

    Args:
        system: the eager system; its weights are left in float64.
        seed: of the random inputs; fresh ones without it.
        done: called with steps of ``steps`` as they are taken.
    """
    generator = torch.Generator().manual_seed(secrets.randbits(40) if seed is None else seed)
    rows, clips = _video(system, folder, generator, done)
    yield from rows
    yield from _text(system, _session(folder, TEXT_ENCODER), generator, done)
    # A bundle of an earlier framesift has none.
    if system.like_inputs and (folder / f"{LIKE_ENCODER}.onnx").is_file():
        yield from _like(system.folded(), _session(folder, LIKE_ENCODER), clips)
        done(1)
    yield compare_scorer(system.folded(), lambda: _session(folder, SCORER), clips, generator)
    done(1)


def _session(folder: Path, name: str) -> ort.InferenceSession:
    options = ort.SessionOptions()
    # An arena grows by doubling and gives nothing back: a graph runs a few times here, and memory is dearer than time.
    options.enable_cpu_mem_arena = False
    return ort.InferenceSession(str(folder / f"{name}.onnx"), options, providers=["CPUExecutionProvider"])


def _lengths(system: System) -> tuple[int, ...]:
    return buckets(system.max_tokens, fixed=system.fixed_length)


@torch.no_grad()
def _video(
    system: System, folder: Path, generator: torch.Generator, done: Callable[[int], None]
) -> tuple[list[Row], Record]:
    """The rows, and what ``system.published`` makes of the clips in float64: that is what takes long."""
    names = [tensor.name for tensor in system.video_inputs]
    rows: list[Row] = []
    clips: Record = ()
    for _ in range(_DRAWS if NOISE in names else 1):
        inputs = random_video_inputs(system, CLIPS, generator)
        got = _graph_records(folder, dict(zip(names, inputs, strict=True)), done)
        give_back()
        system.double()
        give_back()
        clips = _published(system, inputs, done)
        want = system.folded().reduce_video(clips)
        rows = [
            row(f"{VIDEO_ENCODER} {tensor.name}, batch {len(batch)}", mine, reference[list(batch)])
            for batch, records in zip(_BATCHES, got, strict=True)
            for tensor, mine, reference in zip(system.video_record, records, want, strict=True)
        ]
        if all(row.ok for row in rows):
            break
    return rows, clips


def _graph_records(folder: Path, inputs: Mapping[str, Tensor], done: Callable[[int], None]) -> list[list[NDArray[Any]]]:
    """The graph's records of every batch."""
    session = _session(folder, VIDEO_ENCODER)
    records = []
    for batch in _BATCHES:
        outputs = session.run(None, {name: x[list(batch)].numpy() for name, x in inputs.items()})
        # An output of ONNX Runtime's keeps alive all memory that its session has worked in.
        records.append([output.copy() for output in outputs])
        done(len(batch))
    return records


def _published(system: System, inputs: Sequence[Tensor], done: Callable[[int], None]) -> Record:
    # Clip by clip, because a batch's activations in float64 are as large as a small model.
    encoder = VideoEncoder(system.published)
    made = []
    for clip in range(CLIPS):
        made.append(encoder(*(wide(x[clip : clip + 1]) for x in inputs)))
        done(WIDER)
    return tuple(torch.cat(parts) for parts in zip(*made, strict=True))


@torch.no_grad()
def _text(
    system: System, session: ort.InferenceSession, generator: torch.Generator, done: Callable[[int], None]
) -> Iterator[Row]:
    encoder, longest = TextEncoder(system.folded()), system.max_tokens
    for length in _lengths(system):
        ids = system.random_token_ids(5, length, generator)
        # The reference always runs at full length: a shorter graph must give the very same record.
        padded = torch.zeros(5, longest, dtype=torch.int64)
        padded[:, :length] = ids
        got = session.run(None, {TOKEN_IDS: ids.numpy()})
        for tensor, mine, reference in zip(system.text_record, got, encoder(padded), strict=True):
            yield row(f"{TEXT_ENCODER} {tensor.name}, length {length}", mine, reference)
        done(1)


@torch.no_grad()
def _like(system: System, session: ort.InferenceSession, clips: Record) -> Iterator[Row]:
    """Of what ``system.published`` made of clips, in float64."""
    record = dict(zip((tensor.name for tensor in system.video_record), system.reduce_video(clips), strict=True))
    read = {tensor.name: record[tensor.name].float() for tensor in system.like_inputs}
    got = session.run(None, {name: values.numpy() for name, values in read.items()})
    want = system.encode_like(*(values.double() for values in read.values()))
    for tensor, mine, reference in zip(system.text_record, got, want, strict=True):
        yield row(f"{LIKE_ENCODER} {tensor.name}", mine, reference)
