"""The public models of a bundle's deployment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace

from ...export.bundle.limits import MAX_FEATURE_BYTES
from ...export.bundle.manifest import Manifest
from ...export.bundle.models import (
    ARRAYS,
    CHOOSER,
    ENCODE_FRAMES,
    ENCODE_VIDEO,
    FINGERPRINT,
    GALLERY,
    GALLERY_LOOKUP,
    GALLERY_SEARCH,
    INDEX_SEGMENT,
    INDEX_VIDEO,
    MAX_ROWS,
    MAX_VIDEO,
    SCORE_IDS,
    SCORE_TEXT,
    SEARCH,
    SEARCH_DETAILS,
    SEARCH_IDS,
    SEARCH_NAMED,
    SYSTEM,
)
from ...export.bundle.ports import (
    CANDIDATE_LENGTHS,
    CANDIDATES,
    CUTTING,
    DETAILS,
    FEATURES,
    OPTIONS,
    TEXT,
    TEXT_LENGTH,
    TOKEN_IDS,
    VIDEO,
)
from ...export.bundle.scorers import max_pairs
from ...export.bundle.shortlist import PREFIX
from ...export.bundle.spec import TensorSpec
from ...export.bundle.video.limits import DEFAULT_LIMITS, VideoLimits
from ..repository.plan import plan
from ..repository.served import Ensemble, Model, Served
from .gallery import of_gallery
from .likes import OF_VIDEOS, of_likes
from .public import BESIDE_VIDEO, Public, ports
from .roles import MODELS

# Parameters of a search.
SEARCH_OPTIONS = frozenset({"facts", "where", "min_score", "offset", "after", "segments", "partial"})
# What a text is to a client; the served models read its token ids.
_QUERY = (TensorSpec(TEXT, "uint8", ("text bytes",)), TensorSpec(TEXT_LENGTH, "int32", (1,)))


def public_models(
    manifest: Manifest,
    limits: VideoLimits = DEFAULT_LIMITS,
    *,
    chooser: Manifest | None = None,
    gallery: str = "",
    shortlist_gallery: str = "",
) -> dict[str, Public]:
    """What clients may call, by name: the steps of ensembles are none of it.

    Args:
        limits: the largest video that is decoded.
        chooser: of the bundle that chooses candidates, if one does.
        gallery, shortlist_gallery: the galleries' folders, as those who index are told them.
    """
    served = {model.name: model for model in plan(manifest, chooser)}
    members = {name: model for name, model in served.items() if isinstance(model, Model)}
    brought = _arrays(manifest)
    chosen = {} if chooser is None else {**_arrays(chooser), CHOOSER: _named(chooser, shortlist_gallery)}
    told = {
        INDEX_VIDEO: {
            SYSTEM: manifest.system,
            FINGERPRINT: manifest.fingerprint,
            GALLERY: gallery,
            **chosen,
            **brought,
        },
        ENCODE_VIDEO: brought,
    }
    alike = (INDEX_VIDEO, ENCODE_VIDEO, ENCODE_FRAMES)
    found = [_of_videos(_as_served(served[name], told.get(name, {})), limits) for name in alike if name in served]
    if INDEX_SEGMENT in served:
        found = [_cut(public) if public.name == INDEX_VIDEO else public for public in found]
    found += [
        *of_gallery(members[GALLERY_LOOKUP], members[GALLERY_SEARCH]),
        _of_search(_in_words(SEARCH, served[SEARCH_NAMED])),
        _in_words(SCORE_TEXT, served[SCORE_IDS], {MAX_ROWS: str(max_pairs(manifest))}),
    ]
    for public in of_likes(served, _QUERY, SEARCH_OPTIONS):
        found.append(_of_videos(replace(public, parameters=brought), limits) if public.name in OF_VIDEOS else public)
    return {public.name: public for public in found}


def gallery_told(folder: str | None) -> str:
    """The folder of a gallery, as it is told; empty where there is none."""
    # Its name is the machine's own bytes, which a client may not be able to write.
    return os.fsencode(os.path.realpath(folder)).decode("utf-8", "replace") if folder else ""


def _arrays(manifest: Manifest) -> dict[str, str]:
    return {} if manifest.features is None else {ARRAYS: manifest.features.describe()}


def _named(manifest: Manifest, gallery: str) -> str:
    """A model and its gallery, in words."""
    where = f" with the gallery {gallery}" if gallery else ""
    return f"{manifest.system} model {manifest.fingerprint[:12]}{where}"


def _as_served(served: Served, parameters: Mapping[str, str]) -> Public:
    batched = served.max_batch > 0
    return Public(
        served.name,
        served.max_batch,
        ports(served.inputs, batched=batched),
        ports(served.outputs, batched=batched),
        MODELS[served.name],
        served.name,
        _steps(served),
        parameters,
    )


def _of_videos(public: Public, limits: VideoLimits) -> Public:
    """With room for the film and the feature file that it takes, if it takes any."""
    sizes = {VIDEO: limits.max_bytes, FEATURES: MAX_FEATURE_BYTES}
    taken = [size for name, size in sizes.items() if name in public.inputs]
    if not taken:
        return public
    told = {MAX_VIDEO: str(limits.max_bytes)} if VIDEO in public.inputs else {}
    return replace(public, parameters={**public.parameters, **told}, largest=sum(taken) + BESIDE_VIDEO)


def _cut(index: Public) -> Public:
    """With films that may be cut, which are indexed segment by segment."""
    cutting = ports([TensorSpec(CUTTING, "uint8", ("cutting bytes",))], batched=True, optional=(CUTTING,))
    return replace(index, inputs={**index.inputs, **cutting}, detailed=INDEX_SEGMENT)


def _of_search(search: Public) -> Public:
    """A search, of which a plain one is answered with less work."""
    optional = {name: replace(search.inputs[name], optional=True) for name in (CANDIDATES, CANDIDATE_LENGTHS)}
    asked = {name: port for name, port in search.inputs.items() if name != OPTIONS}
    return replace(
        search,
        inputs={**asked, **optional},
        outputs={**search.outputs, DETAILS: replace(search.outputs[DETAILS], optional=True)},
        takes=SEARCH_OPTIONS,
        upstream=SEARCH_IDS,
        detailed=SEARCH_DETAILS,
        named=SEARCH_NAMED,
    )


def _in_words(name: str, served: Served, parameters: Mapping[str, str] | None = None) -> Public:
    """A model whose texts the door encodes. Without a batch, its token ids have the number of texts in front."""
    read = (TOKEN_IDS, PREFIX + TOKEN_IDS)
    ids = next(spec for spec in served.inputs if spec.name == TOKEN_IDS)
    batched = served.max_batch > 0
    query = _QUERY if batched else tuple(spec.batched(str(ids.dims[0])) for spec in _QUERY)
    others = (spec for spec in served.inputs if spec.name not in read)
    return Public(
        name,
        served.max_batch,
        ports((*query, *others), batched=batched),
        ports(served.outputs, batched=batched),
        MODELS[name],
        served.name,
        _steps(served),
        parameters or {},
    )


def _steps(served: Served) -> tuple[str, ...]:
    return tuple(step.name for step in served.steps) if isinstance(served, Ensemble) else (served.name,)
