"""What clients may ask of a gallery beside searches: which videos it has, what is known of them, and to change it."""

from __future__ import annotations

import math

import numpy as np

from ...export.bundle.limits import MAX_CHANGE_BYTES
from ...export.bundle.models import GALLERY_EDIT, GALLERY_LIST, GALLERY_LOOKUP
from ...export.bundle.ports import CHANGE_LENGTHS, CHANGES, COUNT, DETAILS, ID_LENGTHS, IDS, PRESENT, VERSION
from ...export.bundle.spec import TensorSpec
from ..repository.served import Model
from .contents import DATATYPES
from .public import Public, ports
from .roles import MODELS
from .upstream import Tensor

# Ids of a lookup, and of videos to be changed, with their lengths.
_BESIDE = 8 << 20


def of_gallery(lookup: Model, search: Model) -> list[Public]:
    """The models for that.

    Args:
        lookup: the served model that keeps the gallery.
        search: the served model that has it in memory.
    """
    inputs, outputs = ports(lookup.inputs, batched=False), ports(lookup.outputs, batched=False, optional=(DETAILS,))
    ids = (IDS, ID_LENGTHS)
    listed = (port for port in search.outputs if port.name == DETAILS)
    return [
        Public(
            GALLERY_LOOKUP,
            0,
            {name: inputs[name] for name in ids},
            outputs,
            MODELS[GALLERY_LOOKUP],
            lookup.name,
            (lookup.name,),
            takes=frozenset({"facts"}),
            largest=_BESIDE,
        ),
        Public(
            GALLERY_EDIT,
            0,
            {name: inputs[name] for name in (*ids, CHANGES, CHANGE_LENGTHS)},
            {name: outputs[name] for name in (PRESENT, COUNT, VERSION)},
            MODELS[GALLERY_EDIT],
            lookup.name,
            (lookup.name,),
            largest=_BESIDE + MAX_CHANGE_BYTES,
        ),
        Public(
            GALLERY_LIST,
            1,
            {},
            ports(listed, batched=True),
            MODELS[GALLERY_LIST],
            search.name,
            (search.name,),
            takes=frozenset({"top", "after", "where"}),
            given={"list": True},
            fixed=[_zeros(port) for port in search.inputs if port.name not in search.optional],
        ),
    ]


def _zeros(port: TensorSpec) -> Tensor:
    """What stands in a request for a text that nobody searches for."""
    shape = (1, *(max(1, size) for size in port.shape))
    return Tensor(port.name, DATATYPES[port.dtype], shape, bytes(math.prod(shape) * np.dtype(port.dtype).itemsize))
