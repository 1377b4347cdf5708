"""Reading and writing checkpoints without running anything that is in them."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.serialization import safe_globals

from .bundle.errors import CheckpointError
from .systems.state_dict_keys import legacy_layer_norms, stan_to_hugging_face, to_openai, with_clip_prefix

_OPTIONS, _MERGES = "framesift.options", "framesift.merges"
_WRAPPERS = ("state_dict", "model_state_dict", "model")
# Authors' files hold such objects beside the weights (STAN's training log, Frozen in Time's and MMT's configuration).
# Each is read as an inert placeholder: nothing of theirs is imported or called.
_PLACEHOLDERS = (
    "mmengine.logging.history_buffer.HistoryBuffer",
    "parse_config.ConfigParser",
    "pathlib.Path",
    "pathlib.PosixPath",
    "pathlib._local.PosixPath",
    "numpy.ndarray",
    "numpy.dtype",
    "numpy.core.multiarray._reconstruct",
    "numpy.core.multiarray.scalar",
    "numpy._core.multiarray._reconstruct",
    "numpy._core.multiarray.scalar",
)
# CLIP's scripted archives hold sizes beside the weights.
_NOT_WEIGHTS = {"input_resolution", "context_length", "vocab_size"}


@dataclass(frozen=True)
class Checkpoint:
    """Weights under OpenAI's tower names, float32, and what framesift saved with them.

    ``merges`` is the text of the tokenizer's merges file where the model has a vocabulary of its own.
    """

    state: dict[str, Tensor]
    options: dict[str, Any] = field(default_factory=dict)
    merges: str | None = None


def load(path: str | os.PathLike[str]) -> Checkpoint:
    """Read a safetensors or torch file.

    Wrapped files (``{"state_dict": ..., "optimizer": ...}``), ``module.`` prefixes, a bare CLIP without the ``clip.``
    prefix, half precision and Hugging Face tower names are all brought to one form. Optimizer state is dropped.

    Raises:
        CheckpointError: no such file, neither format, truncated, or a torch file that holds more than tensors and
            plain containers: such a file could run code, so it is refused.
    """
    file = Path(path)
    if not file.is_file():
        raise CheckpointError(f"there is no checkpoint at {file}")
    notes: dict[str, str] = {}
    if file.suffix == ".safetensors":
        try:
            with safe_open(file, framework="pt") as stream:
                notes = stream.metadata() or {}
                state = {key: stream.get_tensor(key) for key in stream.keys()}  # noqa: SIM118
            options = json.loads(notes.get(_OPTIONS, "{}"))
        except (SafetensorError, ValueError) as error:
            raise CheckpointError(f"{file} is not a whole safetensors file: {error}") from error
    else:
        state, options = _torch_state(file), {}
    return Checkpoint(normalised(state), options, notes.get(_MERGES))


class _Placeholder:
    """Takes the place of an object that isn't weights, whatever it is made from, and keeps nothing."""

    def __new__(cls, *args: object) -> _Placeholder:
        return super().__new__(cls)

    def __init__(self, *args: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        pass


def _torch_state(file: Path) -> dict[str, Tensor]:
    try:
        with safe_globals([(_Placeholder, name) for name in _PLACEHOLDERS]):
            loaded = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        unknown = re.search(r"GLOBAL (\S+?)(?: was not an allowed global| whose module \S+ is blocked)", str(error))
        reason = f"it holds {unknown[1]}" if unknown else str(error).splitlines()[0]
        raise CheckpointError(
            f"{file} can't be read as weights only (it is damaged, or holds objects that could run code): {reason}. "
            "Save the bare state_dict with torch.save or safetensors and try again"
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise CheckpointError(f"{file} is not a whole torch file: {reason}") from error
    while isinstance(loaded, Mapping):
        inner = next((loaded[key] for key in _WRAPPERS if isinstance(loaded.get(key), Mapping)), None)
        if inner is None:
            state = {k: v for k, v in loaded.items() if isinstance(k, str) and isinstance(v, Tensor)}
            for key, value in state.items():
                # A view of few numbers may claim a shape of any size.
                if value.numel() * value.element_size() > value.untyped_storage().nbytes():
                    raise CheckpointError(f"{file}: {key} {list(value.shape)} is larger than the numbers stored for it")
            if state:
                return state
            break
        loaded = inner
    raise CheckpointError(f"{file} holds no state_dict: there is no mapping of names to tensors in it")


def normalised(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """One form for every spelling of a state_dict; a normalised one comes back unchanged.

    ``module.`` goes, ``gamma`` and ``beta`` become weight and bias, a bare CLIP gets the prefix ``clip.``, STAN's and
    Hugging Face's towers get OpenAI's names, buffers of position ids go, and floating tensors become float32.
    """
    bare = {key.removeprefix("module."): value for key, value in state.items() if key not in _NOT_WEIGHTS}
    named = to_openai(stan_to_hugging_face(with_clip_prefix(legacy_layer_norms(bare))))
    return {
        key: value.float() if value.is_floating_point() else value
        for key, value in named.items()
        if not key.endswith("position_ids")
    }


def fit(model: nn.Module, state: Mapping[str, Tensor], *, ignore: tuple[str, ...] = ()) -> None:
    """Load ``state`` into ``model``; names of the model that start with one of ``ignore`` may be absent.

    Raises:
        CheckpointError: lists every missing, unexpected and mis-shaped tensor.
    """
    wanted = model.state_dict()
    missing = [key for key in wanted if key not in state and not key.startswith(ignore or ("\0",))]
    unexpected = [key for key in state if key not in wanted]
    known = [key for key in wanted if key in state]
    wrong = [
        f"{key} has shape {list(state[key].shape)}, expected {list(wanted[key].shape)}"
        for key in known
        if state[key].shape != wanted[key].shape
    ]
    faults = [
        *(f"not floating: {key} is {state[key].dtype}" for key in known if _not_floating(wanted[key], state[key])),
        *(f"not finite: {key} holds NaN or infinity" for key in known if not state[key].isfinite().all()),
        *(f"missing: {key} {list(wanted[key].shape)}" for key in missing),
        *(f"unexpected: {key} {list(state[key].shape)}" for key in unexpected),
        *(f"mis-shaped: {text}" for text in wrong),
    ]
    if faults:
        listing = "\n  ".join(faults)
        raise CheckpointError(
            f"the checkpoint does not fit the model: {len(missing)} missing, {len(unexpected)} unexpected and "
            f"{len(wrong)} mis-shaped tensors\n  {listing}"
        )
    model.load_state_dict(dict(state), strict=False)


def _not_floating(wanted: Tensor, found: Tensor) -> bool:
    return wanted.is_floating_point() and not found.is_floating_point()


def save(path: Path, model: nn.Module, options: Mapping[str, Any], merges: str | None = None) -> None:
    """Write safetensors with ``options`` and ``merges`` in the header; the file appears whole or not at all."""
    scratch = path.with_name(f".{path.name}.part")
    state = {key: value.detach().contiguous() for key, value in model.state_dict().items()}
    notes = {_OPTIONS: json.dumps(options, sort_keys=True), **({} if merges is None else {_MERGES: merges})}
    save_file(state, scratch, metadata=notes)
    # safetensors makes its files readable by their owner alone; a server may run as somebody else.
    scratch.chmod(0o644)
    scratch.replace(path)


def fingerprint(state: Mapping[str, Tensor], options: Mapping[str, Any]) -> str:
    """SHA-256 over the options and every tensor's name, shape and float32 bytes: the model's identity."""
    digest = hashlib.sha256(json.dumps(options, sort_keys=True).encode())
    for key in sorted(state):
        tensor = state[key].detach().float().contiguous()
        digest.update(f"{key}{list(tensor.shape)}".encode())
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()
