"""The served models of a search by a video, in the place of a text or beside one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ...export.bundle.like import PREFIX, text_fault, video_fault
from ...export.bundle.manifest import Manifest
from ...export.bundle.models import (
    GALLERY_LIKE,
    GALLERY_SEARCH,
    SEARCH_LIKE,
    SEARCH_LIKE_TEXT,
    SEARCH_VIDEO,
    SEARCH_VIDEO_TEXT,
)
from ...export.bundle.ports import LIKE_ENCODER, TEXT_ENCODER, VIDEO_ENCODER
from ...export.bundle.spec import TensorSpec
from .served import Ensemble, Model, brought_to, readers_of
from .tensors import ASKED, OPTIONS_SPEC


def like_models(manifest: Manifest) -> tuple[Model, ...]:
    """What makes a text's record of a video, where the model has any such search."""
    if video_fault(manifest):
        return ()
    like, text = manifest.graphs[LIKE_ENCODER], manifest.graphs[TEXT_ENCODER]
    brought = _prefixed((*like.inputs, *text.outputs))
    model = Model(
        GALLERY_LIKE,
        1,
        (OPTIONS_SPEC, *brought),
        tuple(port.unbatched() for port in like.outputs),
        body="GalleryLike",
        files=(f"{LIKE_ENCODER}.onnx",),
        optional=frozenset(port.name for port in brought),
    )
    return (model,)


def like_searches(manifest: Manifest, models: Mapping[str, Model]) -> tuple[Ensemble, ...]:
    """The ensembles that search by a video of the gallery, or by one that a request brings, of a bundle's models.

    What is made of a request's video and text has a prefix, because hits have tensors of the same names.
    """
    if video_fault(manifest):
        return ()
    like, search = models[GALLERY_LIKE], models[GALLERY_SEARCH]
    readers = readers_of(models)
    video, text = ([replace(model, prefix=PREFIX)] for model in (models[VIDEO_ENCODER], models[TEXT_ENCODER]))
    decoded = [*(replace(reader, prefix=PREFIX) for reader in readers), *video]
    words = tuple(replace(port, name=PREFIX + port.name) for port in models[TEXT_ENCODER].inputs)
    brought = brought_to(readers)
    asked = (*ASKED, OPTIONS_SPEC)
    made = [
        (SEARCH_LIKE, asked, ()),
        (SEARCH_VIDEO, (*brought, *asked), decoded),
        *(() if text_fault(manifest) else ((SEARCH_LIKE_TEXT, (*words, *asked), text),)),
        *(() if text_fault(manifest) else ((SEARCH_VIDEO_TEXT, (*words, *brought, *asked), [*decoded, *text]),)),
    ]
    return tuple(
        Ensemble(name, 1, tuple(inputs), search.outputs, (*steps, like, search)) for name, inputs, steps in made
    )


def _prefixed(ports: tuple[TensorSpec, ...]) -> tuple[TensorSpec, ...]:
    return tuple(replace(port.unbatched(), name=PREFIX + port.name) for port in ports)
