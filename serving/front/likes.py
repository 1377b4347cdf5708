"""Searches by a video as clients see them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from ...export.bundle.like import PREFIX, text_fault, video_fault
from ...export.bundle.manifest import Manifest
from ...export.bundle.models import (
    LIKE_SEARCHES,
    SEARCH_LIKE,
    SEARCH_LIKE_TEXT,
    SEARCH_VIDEO,
    SEARCH_VIDEO_TEXT,
)
from ...export.bundle.ports import CANDIDATE_LENGTHS, CANDIDATES, OPTIONS, TOKEN_IDS
from ...export.bundle.spec import TensorSpec
from ..repository.served import Ensemble, Served
from .public import Public, ports
from .roles import MODELS

OF_VIDEOS = (SEARCH_VIDEO, SEARCH_VIDEO_TEXT)
_BESIDE = (SEARCH_LIKE_TEXT, SEARCH_VIDEO_TEXT)
# By a video of the gallery.
_NAMED = frozenset({"like", "segment", "include"})


def of_likes(
    served: Mapping[str, Served],
    query: Iterable[TensorSpec],
    taken: frozenset[str],
) -> list[Public]:
    """The models for that, of those that are served. A video that is sent is decoded as any other, and kept nowhere.

    Args:
        query: what a text is to a client.
        taken: parameters of every search.
    """
    found = []
    for name in LIKE_SEARCHES:
        model = served.get(name)
        if not isinstance(model, Ensemble):
            continue
        specs = [port for port in model.inputs if port.name not in (OPTIONS, PREFIX + TOKEN_IDS)]
        inputs = ports((*(query if name in _BESIDE else ()), *specs), batched=True)
        for port in (CANDIDATES, CANDIDATE_LENGTHS):
            inputs[port] = replace(inputs[port], optional=True)
        takes = taken | (frozenset() if name in OF_VIDEOS else _NAMED) | ({"weight"} if name in _BESIDE else set())
        steps = tuple(step.name for step in model.steps)
        outputs = ports(model.outputs, batched=True)
        # What is to be searched with is said in options, which so are always there.
        found.append(Public(name, 1, inputs, outputs, MODELS[name], name, steps, takes=takes, given={"facts": False}))
    return found


def refused(manifest: Manifest) -> dict[str, str]:
    """The searches by a video that the model can't answer, and why.

    Raises:
        BundleError: a scorer that is not known.
    """
    faults = {name: text_fault(manifest) if name in _BESIDE else video_fault(manifest) for name in LIKE_SEARCHES}
    return {name: fault for name, fault in faults.items() if fault}


def like_kind(manifest: Manifest) -> str:
    """How the model can be searched by a video: "beside" a text as well, "alone", or, empty, not at all.

    Raises:
        BundleError: a scorer that is not known.
    """
    faults = refused(manifest)
    return "" if SEARCH_LIKE in faults else "alone" if SEARCH_LIKE_TEXT in faults else "beside"
