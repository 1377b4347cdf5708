"""Which shapes an engine is built for: smallest, usual and largest of every input."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..errors import EngineError, InvalidRequest
from ..manifest import Manifest
from ..models import TEXT_BATCH, VIDEO_BATCH
from ..ports import VIDEO_ENCODER
from ..scorers import scorer_of, shortlist_size

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Range:
    """The shapes that an input may have; kernels are chosen for ``opt``."""

    min: Shape
    opt: Shape
    max: Shape


@dataclass(frozen=True)
class EngineLimits:
    """The largest calls an engine takes.

    ``queries`` and ``videos`` bound one call of the scorer. Its memory is set aside for the largest call, so the
    product matters.
    """

    video_batch: int = VIDEO_BATCH
    text_batch: int = TEXT_BATCH
    queries: int = TEXT_BATCH
    videos: int = 512

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value < 1:
                raise EngineError(f"{name} must be at least 1, not {value}")


def default_limits(manifest: Manifest) -> EngineLimits:
    """The limits for a bundle, as its scorer's card has them.

    Raises:
        BundleError: a scorer that is not known.
    """
    card = scorer_of(manifest)
    return EngineLimits(queries=card.engine_texts, videos=shortlist_size(manifest) or card.engine_videos)


def profile(graph: str, manifest: Manifest, limits: EngineLimits) -> dict[str, Range]:
    """The range of every input of a graph, by name.

    Raises:
        EngineError: a port varies in a dimension that nothing here bounds.
    """
    spans = _spans(graph, manifest, limits)
    ranges = {}
    for port in manifest.graphs[graph].inputs:
        if unknown := [dim for dim in port.dims if isinstance(dim, str) and dim not in spans]:
            raise EngineError(f"{graph}: nothing bounds the dimension {unknown[0]} of {port.name}")
        dims = [spans[dim] if isinstance(dim, str) else (dim, dim, dim) for dim in port.dims]
        low, usual, high = (tuple(dim[place] for dim in dims) for place in range(3))
        ranges[port.name] = Range(low, usual, high)
    return ranges


def _spans(graph: str, manifest: Manifest, limits: EngineLimits) -> dict[str, tuple[int, int, int]]:
    """Smallest, usual and largest value of each dimension that varies."""
    tokens = manifest.tokenizer
    batch = limits.video_batch if graph == VIDEO_ENCODER else limits.text_batch
    # Videos are indexed many at a time and texts come one by one: kernels are chosen for that.
    usual = batch if graph == VIDEO_ENCODER else 1
    return {
        "batch": (1, usual, batch),
        "length": (1, tokens.buckets[0], tokens.context_length),
        "queries": (1, 1, limits.queries),
        "videos": (1, limits.videos, limits.videos),
    }


def check_shapes(graph: str, ranges: Mapping[str, Range], shapes: Mapping[str, Sequence[int]]) -> None:
    """Refuse inputs that an engine was not built for, before TensorRT does.

    Args:
        ranges: of the engine, by input.
        shapes: of the request, by input.

    Raises:
        InvalidRequest: an input is missing, unknown or outside its range; the message gives the range.
    """
    if set(shapes) != set(ranges):
        raise InvalidRequest(f"{graph} takes {', '.join(sorted(ranges))}, got {', '.join(sorted(shapes)) or 'nothing'}")
    for name, given in shapes.items():
        allowed = ranges[name]
        fits = len(given) == len(allowed.min) and all(
            low <= size <= high for low, size, high in zip(allowed.min, given, allowed.max, strict=True)
        )
        if not fits:
            raise InvalidRequest(
                f"{graph}: {name} has shape {list(given)}, its engine takes {list(allowed.min)} to "
                f"{list(allowed.max)}. Send less at once, or build it with higher limits"
            )
