"""Which shapes an engine is built for: smallest, usual and largest of every input."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..errors import EngineError, InvalidRequest
from ..manifest import Manifest
from ..models import TEXT_BATCH, VIDEO_BATCH
from ..ports import SCORER, VIDEO_ENCODER
from ..scorers import scorer_of, shortlist_size

Shape = tuple[int, ...]

# Of a scoring request: short lists and pages of hits.
_USUAL_VIDEOS = 100


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


def encoder_ranges(graph: str, manifest: Manifest) -> dict[str, Range]:
    """The range of every input of an encoder that is served; none where films may have any length."""
    try:
        return profile(graph, manifest, default_limits(manifest))
    except EngineError:
        return {}


def scorer_profiles(manifest: Manifest, pairs: int, texts: int = TEXT_BATCH) -> list[dict[str, Range]]:
    """Profiles of a scorer's engine that together hold every call of up to ``texts`` texts and ``pairs`` pairs.

    One profile is a box of shapes, and one box of all would set memory aside for ``texts * pairs`` pairs. These are by
    number of texts, 1, 2, 3 to 4, 5 to 8 and so on, each with as many videos as its fewest texts allow: none holds more
    than twice ``pairs``. TensorRT's backend of Triton server takes the one that is nearest to a call.

    Raises:
        EngineError: a port varies in a dimension that nothing here bounds.
    """
    found, least = [], 1
    while least <= min(texts, pairs):
        most = min(1 << (least - 1).bit_length(), texts)
        ranges = profile(SCORER, manifest, EngineLimits(queries=most, videos=pairs // least))
        found.append({name: _at_least(span, manifest, name, least) for name, span in ranges.items()})
        least = most + 1
    return found


def _at_least(span: Range, manifest: Manifest, name: str, texts: int) -> Range:
    """A range of the scorer's input ``name`` that begins with so many texts, and is chosen for few videos."""
    (port,) = [each for each in manifest.graphs[SCORER].inputs if each.name == name]
    low = tuple(texts if dim == "queries" else size for dim, size in zip(port.dims, span.min, strict=True))
    usual = tuple(
        texts if dim == "queries" else min(size, _USUAL_VIDEOS) if dim == "videos" else size
        for dim, size in zip(port.dims, span.opt, strict=True)
    )
    return Range(low, usual, span.max)


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
