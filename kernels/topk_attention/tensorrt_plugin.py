"""TensorRT plugin of the node ``framesift::TopKAttention``, compiled ahead of time; importing this registers it.

Import it before a network is parsed; see ``docs/tensorrt-plugin.md``. The engine then holds the kernel's PTX and its
launch, and needs neither Python nor this package where it is served. Needs TensorRT 10.9 or later and triton.
"""

# No `from __future__ import annotations`: TensorRT checks the annotations' types.

import tensorrt as trt  # type: ignore[import-not-found, unused-ignore]
import tensorrt.plugin as trtp  # type: ignore[import-not-found, unused-ignore]

from ..device.tile import Regime
from .configs import Storage
from .layout import HeadShape
from .portable_kernel import compiled, portable_plan

NAME = "framesift::TopKAttention"
# TensorRT times every tactic at the profile's optimal shape and keeps the fastest. No tactic may be 0.
TACTICS: dict[int, Regime] = {1: "few", 2: "some", 3: "many"}
STORAGE: dict[trt.DataType, Storage] = {trt.float32: "float32", trt.float16: "float16"}


# Attributes stand in alphabetical order, in which onnx writes them: TensorRT passes their values by place.
@trtp.register(NAME)  # type: ignore[untyped-decorator, unused-ignore]
def describe(
    logit_vector: trtp.TensorDesc,
    readout_vector: trtp.TensorDesc,
    text_scalars: trtp.TensorDesc,
    frame_vectors: trtp.TensorDesc,
    gram_table: trtp.TensorDesc,
    frames: int,
    heads: int,
    top_k: int,
    width: int,
) -> tuple[trtp.TensorDesc, trtp.TensorDesc]:
    """Scores float32 [Q, V] and attention float32 [Q, V, F]."""
    queries, videos = logit_vector.shape_expr[0], frame_vectors.shape_expr[0]
    return (
        trtp.from_shape_expr((queries, videos), trt.float32),
        trtp.from_shape_expr((queries, videos, frames), trt.float32),
    )


@trtp.autotune(NAME)  # type: ignore[untyped-decorator, unused-ignore]
def combinations(
    logit_vector: trtp.TensorDesc,
    readout_vector: trtp.TensorDesc,
    text_scalars: trtp.TensorDesc,
    frame_vectors: trtp.TensorDesc,
    gram_table: trtp.TensorDesc,
    outputs: tuple[trtp.TensorDesc, trtp.TensorDesc],
) -> list[trtp.AutoTuneCombination]:
    """Frames in float32, where one tile serves all numbers of queries, or in float16; all else is float32."""
    rest = "FP32, FP32, FP32, {}, FP32, FP32, FP32"
    return [
        trtp.AutoTuneCombination(rest.format("FP32"), "LINEAR", [1]),
        trtp.AutoTuneCombination(rest.format("FP16"), "LINEAR", list(TACTICS)),
    ]


@trtp.aot_impl(NAME)  # type: ignore[untyped-decorator, unused-ignore]
def implement(
    logit_vector: trtp.TensorDesc,
    readout_vector: trtp.TensorDesc,
    text_scalars: trtp.TensorDesc,
    frame_vectors: trtp.TensorDesc,
    gram_table: trtp.TensorDesc,
    frames: int,
    heads: int,
    top_k: int,
    width: int,
    outputs: tuple[trtp.TensorDesc, trtp.TensorDesc],
    tactic: int,
) -> tuple[str, str, trtp.KernelLaunchParams, trtp.SymIntExprs]:
    """The kernel's name and PTX, its grid, and the numbers of queries and videos that it takes as int32."""
    shape = HeadShape(frames, width, top_k, heads)
    kernel = compiled(portable_plan(shape, STORAGE[frame_vectors.dtype], TACTICS[tactic]))
    queries, videos = logit_vector.shape_expr[0], frame_vectors.shape_expr[0]
    launch = trtp.KernelLaunchParams(
        grid_x=trtp.cdiv(queries, kernel.tile[0]) * trtp.cdiv(videos, kernel.tile[1]),
        block_x=kernel.threads,
        shared_mem=kernel.shared,
    )
    sizes = trtp.SymIntExprs(2)
    sizes[0], sizes[1] = trtp.SymInt32(queries), trtp.SymInt32(videos)
    return kernel.name, kernel.ptx, launch, sizes
