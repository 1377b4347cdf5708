"""Networks that make features of a film, in files of their own beside a checkpoint whose system has room for them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from .bundle.errors import CheckpointError
from .checkpoint import Checkpoint, load
from .systems.howto100m_film import DEEP, FLAT
from .systems.inspection import inspect

# Dimensions of the first convolution's weights, by which a file shows what it holds.
_KINDS = {4: FLAT, 5: DEEP}
_TOLD = {FLAT: "ResNet-152 (resnet152-*.pth)", DEEP: "ResNeXt-101 in three dimensions (resnext101.pth)"}
# Counters of training.
_COUNTED = ".num_batches_tracked"


def with_extractor(file: Checkpoint, given: Sequence[Path], system: str, options: Collection[str]) -> Checkpoint:
    """The checkpoint with the networks of some files.

    Args:
        given: the files, in any order; none where films are not to be read.

    Raises:
        CheckpointError: the system reads no films by networks of their own, or the files are not one of each kind.
    """
    if not given:
        return file
    inspection = inspect(file.state, system, {*file.options, *options})
    prefix = inspection.card.networks
    if not prefix:
        raise inspection.weights.error("it has no networks that make features of a film: leave --extractor out")
    found: dict[str, tuple[Path, Mapping[str, Tensor]]] = {}
    for path in given:
        state = load(path).state
        kind = _KINDS.get(state["conv1.weight"].dim()) if "conv1.weight" in state else None
        if kind is None:
            raise CheckpointError(f"{path} holds neither {_TOLD[FLAT]} nor {_TOLD[DEEP]}: it has no conv1.weight")
        if kind in found:
            raise CheckpointError(f"{found[kind][0]} and {path} both hold {_TOLD[kind]}: give one of each kind")
        found[kind] = path, state
    if missing := [_TOLD[kind] for kind in _TOLD if kind not in found]:
        raise CheckpointError(f"a film's features take two networks: give {missing[0]} as well (--extractor)")
    tensors = {
        f"{prefix}{kind}.{name}": tensor
        for kind, (_, state) in found.items()
        for name, tensor in state.items()
        if not name.endswith(_COUNTED)
    }
    note = "films are read by " + " and ".join(str(path) for path, _ in found.values())
    return replace(file, state={**file.state, **tensors}, notes=(*file.notes, note))
