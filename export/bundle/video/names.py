"""The names of the rules by which frames are chosen and resized, in a module that imports nothing."""

from __future__ import annotations

from typing import Literal

SamplerName = Literal[
    "uniform_middle",
    "second_steps",
    "tick_middle",
    "segment_round",
    "equal_middle",
    "clips",
    "each_second",
    "film_rate",
]
ResizeName = Literal[
    "pil_bicubic",
    "tensor_bicubic",
    "cv2_bilinear",
    "tensor_bilinear_twice",
    "pil_bilinear_square",
    "tensor_padded",
    "ffmpeg_bicubic",
    "centre_crop",
]
