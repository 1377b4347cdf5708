"""Galleries on GPUs whose kernels are done by torch on this machine's processor: the same arguments, the same outputs.

Kernels themselves are interpreted in tests/kernels. Here is what is around them: what is sent when, what counts, and
how shares are put together.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from framesift.kernels.cuda.code import Source
from framesift.kernels.cuda.device import Device
from framesift.kernels.cuda.library import Cuda
from framesift.kernels.cuda.share import Share
from framesift.kernels.topk_attention import factorised
from framesift.kernels.topk_attention.divided import DividedGallery
from framesift.kernels.topk_attention.layout import HeadShape
from framesift.kernels.topk_attention.resident import Float16

from ...kernels.standin_cuda import StandinCuda


def emulated(shape: HeadShape, devices: int = 1, memory: int = 1 << 32) -> tuple[DividedGallery, StandinCuda]:
    """A float16 gallery on so many devices with so many bytes each, and the driver."""
    driver = StandinCuda(execute, devices, memory)
    cuda = Cuda(driver)
    parts = [Float16(Device(cuda, i, driver.compiled), shape, Share(i, devices)) for i in range(devices)]
    return DividedGallery(parts), driver


def execute(source: Source, programs: int, given: Mapping[str, Any]) -> None:
    """Do what a kernel of a float16 search does."""
    {"score_kernel": _score, "select_kernel": _select}[source.kernel.__name__](source.constants, programs, given)


def _score(constants: Mapping[str, Any], programs: int, given: Mapping[str, Any]) -> None:
    frames, width, queries, videos = constants["F"], constants["D"], given["Q"], given["V"]
    shape = HeadShape(frames, width, constants["K"], constants["H"])
    text = [_text(given[name], constants["PARTS"], queries, width) for name in ("U", "W")]
    x = given["X"][: videos * shape.streams * frames * width].view(videos, shape.streams, frames, width).float()
    blocks = -(-videos // 16)
    packed = given["TABLE"][: blocks * shape.rows * 16].view(blocks, shape.rows, 16)
    tables = packed.transpose(1, 2).reshape(-1, shape.rows)[:videos]
    scores, _ = factorised.score(*text, given["TAU"][: 4 * queries].view(queries, 4), x, tables, shape)
    given["OUT"][: scores.numel()] = scores.where(given["LIVE"][:videos].bool(), -torch.inf).flatten()


def _text(held: Tensor, parts: int, queries: int, width: int) -> Tensor:
    if parts == 1:
        return held[: queries * width].view(queries, width).float()
    tiles = held[: -(-queries // 8) * 16 * width].view(-1, 2, 8, width).float()
    return (tiles[:, 0] + tiles[:, 1]).reshape(-1, width)[:queries]


def _select(constants: Mapping[str, Any], queries: int, given: Mapping[str, Any]) -> None:
    kept, videos = constants["WANTED"], given["V"]
    for query in range(queries):
        found = given["SCORES"][query * videos : (query + 1) * videos]
        order = torch.argsort(-found, stable=True)[:kept]
        order = order[found[order] > -torch.inf]
        at = query * kept
        given["BEST"][at : at + kept], given["ROWS"][at : at + kept] = -torch.inf, -1
        given["BEST"][at : at + len(order)], given["ROWS"][at : at + len(order)] = found[order], order.int()
