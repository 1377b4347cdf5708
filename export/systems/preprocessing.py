"""How each system's authors made pixels and token ids, as data: by each one's code, not by its paper.

What the rules do stands where they are: ``export/bundle/video/sampling.py`` and ``export/bundle/video/resizing.py``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..bundle.errors import CheckpointError
from ..bundle.features.profile import FeatureProfile
from ..bundle.manifest import FilmProfile, FrameProfile
from ..bundle.video.names import ResizeName, SamplerName
from .contract import System


@dataclass(frozen=True)
class Preprocessing:
    """One system's way from a file and a text to the model's inputs.

    A text is cut to ``max_tokens`` positions with its end token kept and padded with zeros. Where ``sliced_from`` is
    given it is cut so to that many positions first, and then to ``max_tokens`` whatever is there. ``cleaning`` is the
    tokenizer's own where it is empty. ``frames`` is None where videos bring features alone, or a whole film; which, the
    system says.
    """

    frames: FrameProfile | None
    sliced_from: int | None = None
    max_tokens: int = 0
    tokenizer: str = "clip_bpe"
    cleaning: str = ""
    features: FeatureProfile | None = None
    film: FilmProfile | None = None

    @property
    def pixels(self) -> str:
        """Numpy's name of the pixels' type, whether or not there are any."""
        return (self.frames or FrameProfile()).dtype

    def of(self, system: System) -> Preprocessing:
        """These rules in the sizes of a system."""
        frames = self.frames
        if frames is not None:
            size = system.video_inputs[0].shape[-1]
            frames = replace(frames, count=system.frames, size=size, together=system.together)
        sliced = None if self.sliced_from is None else min(self.sliced_from, system.text_positions)
        return replace(
            self,
            frames=frames,
            features=system.features,
            film=system.film,
            sliced_from=sliced,
            max_tokens=system.max_tokens,
        )

    def with_rules(self, sampler: SamplerName | None, resize: ResizeName | None) -> Preprocessing:
        """Other rules for frames, where they are given.

        Raises:
            CheckpointError: rules for frames of a system that takes none.
        """
        frames = self.frames
        if frames is None:
            if sampler or resize:
                brings = "features, not frames" if self.film is None else "whole films"
                raise CheckpointError(f"its videos bring {brings}: leave --sampler and --resize out")
            return self
        return replace(self, frames=replace(frames, sampler=sampler or frames.sampler, resize=resize or frames.resize))

    def describe(self) -> str:
        """One line for a person."""
        sliced = "" if self.sliced_from is None else f" sliced from {self.sliced_from}"
        parts = [f"{self.max_tokens} token positions{sliced}"]
        if self.features is not None:
            parts.insert(0, f"a feature file of {self.features.describe()}")
        if self.film is not None:
            seconds, clips = self.film.seconds, self.film.clips
            parts.insert(
                0,
                f"a film of at most {seconds.count} s: a frame a second, short side {seconds.size}, uncropped, and "
                f"clips of {clips.together} frames, 24 a second, {clips.size} square",
            )
        if self.frames is not None:
            parts.insert(0, _describe(self.frames))
        return "; ".join(parts)


def _describe(frames: FrameProfile) -> str:
    missing = "the last frame again" if frames.missing == "repeat" else "zeros and a mask"
    if frames.resize == "centre_crop":
        pixels = f"the middle {frames.size} pixels of films that were shrunk to them beforehand (centre_crop)"
    else:
        pixels = f"short side to {frames.size} by {frames.resize}, {frames.crop} crop"
    return f"{frames.count} frames by {frames.sampler}, {pixels}, {missing} where frames are missing"
