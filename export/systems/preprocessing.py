"""How each system's authors made pixels and token ids, as data; each by its authors' code, not by its paper.

What the rules do stands where they are: ``export/bundle/video/sampling.py`` and ``export/bundle/video/resizing.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from ..encoders.clip_vision import PIXEL_MEAN, PIXEL_STD
from ..encoders.stan import PIXELS as STAN_PIXELS

Sampler = Literal["uniform_middle", "second_steps", "tick_middle", "segment_round"]
Resize = Literal["pil_bicubic", "tensor_bicubic", "cv2_bilinear"]
_CLIP_MEAN = (255 * PIXEL_MEAN[0], 255 * PIXEL_MEAN[1], 255 * PIXEL_MEAN[2])
_CLIP_STD = (255 * PIXEL_STD[0], 255 * PIXEL_STD[1], 255 * PIXEL_STD[2])


@dataclass(frozen=True)
class Preprocessing:
    """One system's way from a file and a text to the model's inputs.

    ``mean`` and ``std`` are of RGB from 0 to 255. ``missing`` says what fills a video with too few frames: the last
    frame again, or zeros after normalisation with a mask. A text is cut to ``max_tokens`` positions with its end token
    kept and padded with zeros. Where ``sliced_from`` is given it is cut so to that many positions first, and then to
    ``max_tokens`` whatever is there.
    """

    sampler: Sampler
    resize: Resize
    missing: Literal["repeat", "mask"]
    max_tokens: int = 32
    sliced_from: int | None = None
    frames: int = 12
    size: int = 224
    crop: Literal["center"] = "center"
    mean: tuple[float, float, float] = _CLIP_MEAN
    std: tuple[float, float, float] = _CLIP_STD

    def describe(self) -> str:
        """One line for a person."""
        missing = "the last frame again" if self.missing == "repeat" else "zeros and a mask"
        sliced = "" if self.sliced_from is None else f" sliced from {self.sliced_from}"
        return (
            f"{self.frames} frames by {self.sampler}, short side to {self.size} by {self.resize}, {self.crop} crop, "
            f"{missing} where frames are missing; {self.max_tokens} token positions{sliced}"
        )


_CLIP4CLIP = Preprocessing("second_steps", "pil_bicubic", "mask")

PROFILES: Mapping[str, Preprocessing] = {
    "dong2026": Preprocessing("uniform_middle", "pil_bicubic", "repeat", max_tokens=77),
    # The authors pad a text with its own end token. The first one is read and the tower is causal, so zeros give the
    # same and leave no doubt about which token is the end.
    "xpool": Preprocessing("uniform_middle", "tensor_bicubic", "repeat", max_tokens=77),
    "clip4clip": _CLIP4CLIP,
    "xclip": _CLIP4CLIP,
    "ts2net": _CLIP4CLIP,
    # The authors' videos were shrunk beforehand, to a short side of 224 at three frames a second, and are not resized
    # again: nor is such a video by this rule.
    "dgl": Preprocessing("tick_middle", "pil_bicubic", "repeat"),
    # A caption of more than 30 tokens loses its end token to the slice, and STAN then reads it at its first position.
    "stan": Preprocessing(
        "segment_round",
        "cv2_bilinear",
        "repeat",
        sliced_from=77,
        mean=STAN_PIXELS[0],
        std=STAN_PIXELS[1],
    ),
}
