"""Galleries on interpreted GPUs, for the interpreter's process: searches in float16 and int8, and the bound alone."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any
from unittest import mock

import numpy as np
import torch
from standin_cuda import StandinCuda
from torch import Tensor

from framesift.kernels.cuda import share
from framesift.kernels.cuda.code import Source as Compiled
from framesift.kernels.cuda.device import Device
from framesift.kernels.cuda.library import Cuda
from framesift.kernels.topk_attention import building, launch, scoring
from framesift.kernels.topk_attention.biases import Biases
from framesift.kernels.topk_attention.certified import resident as certified
from framesift.kernels.topk_attention.certified.records import StepVectors
from framesift.kernels.topk_attention.divided import DividedGallery
from framesift.kernels.topk_attention.layout import HeadShape
from framesift.kernels.topk_attention.operands import GalleryVectors, TextVectors
from framesift.kernels.topk_attention.resident import Float16, Resident, Source

_LOCK = threading.Lock()
# The interpreter takes a second for a program of the bound, however many videos it has.
QUICK = [
    (building, "BLOCK", 128),
    (certified, "_BOUNDS", replace(certified._BOUNDS, videos=64)),
    (certified, "_PRODUCTS", replace(certified._PRODUCTS, videos=512)),
]


@contextmanager
def patched(sizes: list[tuple[Any, str, int]]) -> Iterator[None]:
    """Have constants of modules another value while the block runs."""
    with ExitStack() as stack:
        for module, name, value in sizes:
            stack.enter_context(mock.patch.object(module, name, value))
        yield


def execute(source: Compiled, programs: int, given: Mapping[str, Any]) -> None:
    """Interpret a kernel."""
    arguments = {name: given.get(name, source.constants.get(name)) for name in source.kernel.arg_names}
    # The interpreter's programs have one place in a grid at a time.
    with _LOCK:
        source.kernel[(programs,)](**arguments)


def searched(
    frames: Tensor, tables: Tensor, steps: Tensor, side: Tensor, text: list[Tensor], shape: list[int],
    biases: list[float], n: int, devices: int = 1, parts: list[int] | None = None, live: Tensor | None = None,
    stripe: int = 32, lead: int = 64, piece: int = 48,
) -> dict[str, Any]:  # fmt: skip
    """Scores and rows of both storages on so many devices, and by torch; ``parts``: how many rows at each time."""
    head, told = HeadShape(*shape), Biases(*biases)
    asked = TextVectors(*(part.numpy() for part in text))
    alive = None if live is None else live.numpy()
    driver = StandinCuda(execute, devices)
    cuda = Cuda(driver)
    found: dict[str, Any] = {}
    sizes = [
        (share, "STRIPE", stripe),
        (certified, "LEAD", lead),
        (certified, "PIECE", piece),
        (scoring, "PIECE", piece),
    ]
    with patched([*sizes, *QUICK]):
        for kind in ("float16", "int8"):
            made: list[Resident] = []
            for number in range(devices):
                device, own = Device(cuda, number, driver.compiled), share.Share(number, devices)
                made.append(
                    Float16(device, head, own) if kind == "float16" else certified.Certified(device, head, own, told)
                )
            gallery = DividedGallery(made)
            for count in [*(parts or []), len(frames)]:
                blocks = -(-count // 16)
                source = Source(
                    GalleryVectors(frames[:count].numpy(), tables[:blocks].numpy()),
                    StepVectors(steps[:count].numpy(), side[:blocks].numpy()),
                )
                gallery.follow(source, anew=False)
            best = gallery.search(asked, source, n, alive)
            found[kind] = [torch.from_numpy(best.scores), torch.from_numpy(best.rows), best.scored]
            found[f"{kind} rows"] = [len(part) for part in made]
    mask = torch.ones(len(frames), dtype=torch.uint8) if live is None else live.to(torch.uint8)
    scores, rows = launch.search(*text, frames, tables, None, top_k=head.top_k, heads=1, live=mask, n=n)
    return {**found, "torch": [scores, rows.long()]}


def bounded(
    frames: Tensor, tables: Tensor, steps: Tensor, side: Tensor, text: list[Tensor], shape: list[int],
    biases: list[float], count: int,
) -> list[Any]:  # fmt: skip
    """The kernels' float16 scores [V] of one text, and at so many of them, thresholds now, which videos are left.

    Returns:
        Scores [V], thresholds [T], and bool [T, V].
    """
    with patched(QUICK):
        return _bounded(frames, tables, steps, side, text, shape, biases, count)


def _bounded(
    frames: Tensor, tables: Tensor, steps: Tensor, side: Tensor, text: list[Tensor], shape: list[int],
    biases: list[float], count: int,
) -> list[Any]:  # fmt: skip
    head, told = HeadShape(*shape), Biases(*biases)
    driver = StandinCuda(execute)
    part = certified.Certified(Device(Cuda(driver), 0, driver.compiled), head, share.Share(0, 1), told)
    source = Source(GalleryVectors(frames.numpy(), tables.numpy()), StepVectors(steps.numpy(), side.numpy()))
    part.follow(source, anew=True)
    asked = TextVectors(*(each.numpy() for each in text))
    search = certified._Search(part, part.scorer.ask(asked), source, 1)
    every = np.arange(len(frames))
    scores = search._scores(every)[0]
    thetas, left = [], []
    sent = certified.told_of_queries(asked, search.asked.how.tile.parts, head, told)
    columns = [part.scratch.sent(f"asked{i}", each) for i, each in enumerate(sent)]
    counted = part.scratch.sent("live", np.ones(len(frames), np.uint8))
    for theta in np.quantile(scores, np.linspace(0, 1, count), method="nearest").tolist():
        kept: list[Any] = []
        search.least[:] = theta
        thetas.append(theta)
        with mock.patch.object(search, "rescore", kept.append):
            part._piece(search, columns, counted, np.ones(len(frames), np.bool_), 0, len(frames))
        mask = np.zeros(len(frames), np.bool_)
        mask[kept[-1]] = True
        left.append(mask)
    return [torch.from_numpy(scores), torch.tensor(thetas, dtype=torch.float64), torch.from_numpy(np.stack(left))]
