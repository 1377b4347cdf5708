"""The served models and ensembles, as data. The wiring of every ensemble is written here and nowhere else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ...export.bundle.checks import DIGEST_BYTES
from ...export.bundle.engines.profiles import encoder_ranges, scorer_profiles
from ...export.bundle.features.rules import TAGS
from ...export.bundle.manifest import Manifest
from ...export.bundle.models import (
    ENCODE_FRAMES,
    ENCODE_VIDEO,
    FEATURE_READER,
    GALLERY_INDEX,
    GALLERY_LOOKUP,
    GALLERY_SEARCH,
    INDEX_BATCH,
    INDEX_SEGMENT,
    INDEX_VIDEO,
    MAX_ROWS,
    NICE,
    SCORE_IDS,
    SEARCH_DETAILS,
    SEARCH_IDS,
    SEARCH_NAMED,
    TEXT_BATCH,
    VIDEO_BATCH,
    VIDEO_DECODER,
)
from ...export.bundle.ports import (
    ATTENTION,
    CHANGE_LENGTHS,
    CHANGES,
    COUNT,
    DETAILS,
    DIGESTS,
    DURATION,
    EXACT,
    FEATURES,
    ID_LENGTHS,
    IDS,
    MASK,
    NOISE,
    OF_FRAMES,
    OPTIONS,
    PART,
    PRESENT,
    RECALL,
    RESCORED,
    SCORER,
    SCORES,
    SPAN,
    TEXT_ENCODER,
    TIMESTAMPS,
    VERSION,
    VIDEO,
    VIDEO_ENCODER,
)
from ...export.bundle.scorers import max_pairs, scorer_of
from ...export.bundle.shortlist import check_chooser
from ...export.bundle.spec import TensorSpec
from ...export.bundle.storages import is_coarse, storage_of
from .choosing import choosing, joined, prefixed
from .likes import like_models, like_searches
from .served import Batching, Ensemble, Model, Served, Warmup, brought_to, readers_of
from .tensors import (
    ASKED,
    DESCRIPTION,
    DETAILS_SPEC,
    ID_SPEC,
    NAMED,
    OPTIONS_SPEC,
    PART_SPEC,
    SPAN_SPEC,
    TOP_SPEC,
    check_names,
)

# The first film that an encoder reads.
_FILM = {"seconds": 1, "clips": 1, "height": 64, "width": 64}


def plan(manifest: Manifest, chooser: Manifest | None = None) -> tuple[Served, ...]:
    """Every model and ensemble that serves a bundle, members before the ensembles that use them.

    Args:
        chooser: of the bundle that chooses candidates, if one does.

    Raises:
        BundleError: a graph's tensor has the name of one that ensembles use, the scorer is not known, or ``chooser``
            can't choose for the bundle.
    """
    check_names(manifest.graphs)
    models, beside = _models(manifest), dict[str, Model]()
    if chooser is not None:
        check_chooser(manifest, chooser)
        check_names(chooser.graphs)
        beside = choosing(_models(chooser))
        models = joined(models, beside, _times(chooser))
    video, text = models[VIDEO_ENCODER], models[TEXT_ENCODER]
    readers, others = readers_of(models), readers_of(beside)
    videos, texts = ([beside[kind]] if beside else [] for kind in (VIDEO_ENCODER, TEXT_ENCODER))
    record, times = video.outputs, _times(manifest)
    scorer, search, index = models[SCORER], models[GALLERY_SEARCH], models[GALLERY_INDEX]
    named = {port.name for port in record}
    brought = brought_to(readers)
    indexed = {port.name: port for port in (*brought_to((*readers, *others)), *DESCRIPTION)}
    filled = (*readers, video, *others, *videos, index)
    words = (*text.inputs, *(port for each in texts for port in prefixed(each.inputs)))
    searching = (text, *texts, search)
    # Features have been made by whoever sends them, and a film is read whole: there is no encoding of less.
    framed = (Ensemble(ENCODE_FRAMES, video.max_batch, video.inputs, record, (video,)),)
    cut = (Ensemble(INDEX_SEGMENT, 1, (*indexed.values(), PART_SPEC), (*index.outputs, SPAN_SPEC), filled),)
    ensembles = (
        Ensemble(ENCODE_VIDEO, 1, brought, (*record, *times), (*readers, video)),
        *(framed if manifest.frames is not None and manifest.features is None else ()),
        Ensemble(
            SCORE_IDS,
            0,
            (*(port.batched("queries") for port in text.inputs), *(p for p in scorer.inputs if p.name in named)),
            scorer.outputs,
            (text, scorer),
        ),
        Ensemble(INDEX_VIDEO, 1, tuple(indexed.values()), index.outputs, filled),
        *(cut if VIDEO_DECODER in models else ()),
        # Each tensor costs every process on its way a part of what a search of a small gallery takes altogether.
        Ensemble(SEARCH_IDS, search.max_batch, (*words, TOP_SPEC), _without_details(search), searching),
        Ensemble(SEARCH_DETAILS, search.max_batch, (*words, TOP_SPEC, OPTIONS_SPEC), search.outputs, searching),
        Ensemble(SEARCH_NAMED, search.max_batch, (*words, *ASKED, OPTIONS_SPEC), search.outputs, searching),
    )
    return (*models.values(), *ensembles, *like_searches(manifest, models))


def _models(manifest: Manifest) -> dict[str, Model]:
    graphs, frames = manifest.graphs, manifest.frame_count
    times = _times(manifest)
    video, text, scorer = graphs[VIDEO_ENCODER], graphs[TEXT_ENCODER], graphs[SCORER]
    record, text_record = _unbatched(video.outputs), _unbatched(text.outputs)
    # Only scorers that weigh frames return the weights.
    weighed = any(port.name == ATTENTION for port in scorer.outputs)
    hits = (
        TensorSpec(IDS, "uint8", ("id bytes",)),
        TensorSpec(ID_LENGTHS, "int32", ("hits",)),
        TensorSpec(SCORES, "float32", ("hits",)),
        *((TensorSpec(ATTENTION, "float32", ("hits", frames)),) if weighed else ()),
        *((TensorSpec(TIMESTAMPS, "float32", ("hits", frames)),) if frames else ()),
        TensorSpec(VERSION, "int64", (1,)),
        DETAILS_SPEC,
        # Where all videos are scored, there is nothing to tell.
        *(
            (TensorSpec(EXACT, "bool", (1,)), TensorSpec(RESCORED, "int64", (1,)))
            if storage_of(manifest) == "int8" or is_coarse(manifest)
            else ()
        ),
        *((TensorSpec(RECALL, "float32", (1,)),) if is_coarse(manifest) else ()),
    )
    masked = any(port.name == MASK for port in video.inputs)
    noisy = any(port.name == NOISE for port in video.inputs)
    card = scorer_of(manifest)
    # A video waits in memory, up to 256 MiB each, so few may wait; clients try again.
    clips = Batching(max_queue=16, timeout_s=60)
    # Indexing takes hours, a search milliseconds.
    behind = {NICE: "10"}
    # Searches are refused by the front door alone.
    texts = Batching()
    decoder = Model(
        VIDEO_DECODER,
        1,
        # A video's noise comes from its id.
        (TensorSpec(VIDEO, "uint8", ("video bytes",)), *((ID_SPEC,) if noisy else ()), PART_SPEC),
        (*(port for port in _unbatched(video.inputs) if port.name in OF_FRAMES), *times, SPAN_SPEC),
        body="VideoDecoder",
        instances=2,
        batching=clips,
        parameters=behind,
        optional=frozenset({PART}),
        answers={SPAN: PART},
    )
    reader = Model(
        FEATURE_READER,
        1,
        (TensorSpec(FEATURES, "uint8", ("feature bytes",)),),
        tuple(port for port in _unbatched(video.inputs) if port.name not in OF_FRAMES),
        body="FeatureReader",
        files=manifest.tokenizer.files if manifest.features is not None and manifest.features.rule == TAGS else (),
        batching=clips,
        parameters=behind,
    )
    models = (
        *(() if manifest.frames is None and manifest.film is None else (decoder,)),
        *(() if manifest.features is None else (reader,)),
        Model(
            VIDEO_ENCODER,
            VIDEO_BATCH,
            _unbatched(video.inputs),
            record,
            batching=clips,
            parameters=behind,
            # A mask that is no mask makes a graph divide by zero.
            warmup=Warmup(_FILM, {MASK: np.ones(frames, "<f4").tobytes()} if masked else {}),
            ranges=encoder_ranges(VIDEO_ENCODER, manifest),
        ),
        Model(
            TEXT_ENCODER,
            TEXT_BATCH,
            _unbatched(text.inputs),
            text_record,
            batching=texts,
            warmup=Warmup({"length": 16}),
            ranges=encoder_ranges(TEXT_ENCODER, manifest),
        ),
        Model(
            SCORER,
            0,
            scorer.inputs,
            scorer.outputs,
            warmup=Warmup({"queries": 1, "videos": 1}),
            # Without an arena the memory of a large request is given back.
            parameters={MAX_ROWS: str(max_pairs(manifest)), "enable_mem_arena": "0"},
            profiles=len(scorer_profiles(manifest, max_pairs(manifest))),
        ),
        Model(
            GALLERY_INDEX,
            INDEX_BATCH,
            (*record, *times, *DESCRIPTION, PART_SPEC, SPAN_SPEC),
            (TensorSpec(VERSION, "int64", (1,)), TensorSpec(COUNT, "int64", (1,))),
            body="GalleryIndex",
            # What waits here are records: a batch gathers while another is written.
            batching=replace(clips, ragged=True, max_queue=INDEX_BATCH),
            parameters=behind,
            optional=frozenset({PART, SPAN}),
        ),
        Model(
            GALLERY_SEARCH,
            card.search_batch,
            (*text_record, *ASKED, OPTIONS_SPEC),
            hits,
            body="GallerySearch",
            files=(f"{SCORER}.onnx",),
            batching=texts,
            optional=frozenset({OPTIONS, *(port.name for port in NAMED)}),
        ),
        Model(
            GALLERY_LOOKUP,
            0,
            (
                TensorSpec(IDS, "uint8", ("id bytes",)),
                TensorSpec(ID_LENGTHS, "int32", ("ids",)),
                OPTIONS_SPEC,
                TensorSpec(CHANGES, "uint8", ("change bytes",)),
                TensorSpec(CHANGE_LENGTHS, "int32", ("ids",)),
            ),
            (
                TensorSpec(PRESENT, "bool", ("ids",)),
                TensorSpec(DIGESTS, "uint8", ("ids", DIGEST_BYTES)),
                TensorSpec(COUNT, "int64", (1,)),
                TensorSpec(VERSION, "int64", (1,)),
                DETAILS_SPEC,
            ),
            body="GalleryLookup",
            optional=frozenset({OPTIONS, CHANGES, CHANGE_LENGTHS}),
        ),
    )
    return {model.name: model for model in (*models, *like_models(manifest))}


def _without_details(search: Model) -> tuple[TensorSpec, ...]:
    """The outputs of a plain search: what nobody asked for is not made."""
    return tuple(port for port in search.outputs if port.name != DETAILS)


def _times(manifest: Manifest) -> tuple[TensorSpec, ...]:
    """What a decoder tells of a film's time; features have none, and of a film that is read whole no frame counts."""
    duration = TensorSpec(DURATION, "float32", (1,))
    if manifest.frames is None:
        return () if manifest.film is None else (duration,)
    return (TensorSpec(TIMESTAMPS, "float32", (manifest.frame_count,)), duration)


def _unbatched(ports: tuple[TensorSpec, ...]) -> tuple[TensorSpec, ...]:
    return tuple(port.unbatched() for port in ports)
