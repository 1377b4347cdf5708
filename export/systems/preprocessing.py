"""How each system's authors made pixels and token ids, as data: by each one's code, not by its paper.

What the rules do stands where they are: ``export/bundle/video/sampling.py`` and ``export/bundle/video/resizing.py``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..bundle.manifest import FrameProfile
from ..bundle.video.names import ResizeName, SamplerName
from .contract import System


@dataclass(frozen=True)
class Preprocessing:
    """One system's way from a file and a text to the model's inputs.

    A text is cut to ``max_tokens`` positions with its end token kept and padded with zeros. Where ``sliced_from`` is
    given it is cut so to that many positions first, and then to ``max_tokens`` whatever is there. ``cleaning`` is the
    tokenizer's own where it is empty.
    """

    frames: FrameProfile
    sliced_from: int | None = None
    max_tokens: int = 0
    tokenizer: str = "clip_bpe"
    cleaning: str = ""

    def of(self, system: System) -> Preprocessing:
        """These rules in the sizes of a system."""
        size = system.video_inputs[0].shape[-1]
        sliced = None if self.sliced_from is None else min(self.sliced_from, system.text_positions)
        return replace(
            self,
            frames=replace(self.frames, count=system.frames, size=size),
            sliced_from=sliced,
            max_tokens=system.max_tokens,
        )

    def with_rules(self, sampler: SamplerName | None, resize: ResizeName | None) -> Preprocessing:
        """Other rules for frames, where they are given."""
        frames = self.frames
        return replace(self, frames=replace(frames, sampler=sampler or frames.sampler, resize=resize or frames.resize))

    def describe(self) -> str:
        """One line for a person."""
        frames = self.frames
        missing = "the last frame again" if frames.missing == "repeat" else "zeros and a mask"
        sliced = "" if self.sliced_from is None else f" sliced from {self.sliced_from}"
        return (
            f"{frames.count} frames by {frames.sampler}, short side to {frames.size} by {frames.resize}, "
            f"{frames.crop} crop, {missing} where frames are missing; {self.max_tokens} token positions{sliced}"
        )
