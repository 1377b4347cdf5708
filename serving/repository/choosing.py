"""The served models of two bundles, of which one chooses candidates for the other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from ...export.bundle.models import FEATURE_READER, GALLERY_INDEX, GALLERY_SEARCH, VIDEO_DECODER
from ...export.bundle.ports import SHORTLIST, TEXT_ENCODER, VIDEO_ENCODER
from ...export.bundle.shortlist import PREFIX
from ...export.bundle.spec import TensorSpec
from .served import Model

# Of the bundle that chooses; its galleries are served by the models that serve the main one's.
_KINDS = (VIDEO_DECODER, FEATURE_READER, VIDEO_ENCODER, TEXT_ENCODER)


def choosing(models: Mapping[str, Model]) -> dict[str, Model]:
    """Those of a bundle's models by which it chooses for another, by what they are called without it."""
    return {kind: models[kind].chosen_by(PREFIX) for kind in _KINDS if kind in models}


def joined(models: Mapping[str, Model], choosers: Mapping[str, Model], times: Iterable[TensorSpec]) -> dict[str, Model]:
    """A bundle's models where those of another choose: what fills and searches the gallery has both records.

    Args:
        choosers: as ``choosing`` gives them.
        times: what the other bundle's decoder tells of a film's time.
    """
    index, search = models[GALLERY_INDEX], models[GALLERY_SEARCH]
    record = prefixed((*choosers[VIDEO_ENCODER].outputs, *times))
    text = prefixed(choosers[TEXT_ENCODER].outputs)
    told = TensorSpec(SHORTLIST, "uint8", ("shortlist bytes",))
    return {
        **models,
        GALLERY_INDEX: replace(index, inputs=(*index.inputs, *record)),
        GALLERY_SEARCH: replace(search, inputs=(*text, *search.inputs), outputs=(*search.outputs, told)),
        **{model.name: model for model in choosers.values()},
    }


def prefixed(ports: Iterable[TensorSpec]) -> tuple[TensorSpec, ...]:
    """Tensors of the bundle that chooses, as ensembles call them."""
    return tuple(replace(port, name=PREFIX + port.name) for port in ports)
