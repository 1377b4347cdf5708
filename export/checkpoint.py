"""Reading and writing checkpoints without running anything that is in them."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from .bundle.errors import CheckpointError
from .checkpoints.choosing import bare_names, state_of
from .checkpoints.faults import Damaged, Forbidden
from .checkpoints.first_look import look_at
from .checkpoints.parts import parts_of
from .checkpoints.torch_file import opened
from .systems.recognition import prefixes, recognisable
from .systems.state_dict_keys import legacy_layer_norms, own_names, stan_to_hugging_face, to_openai, with_clip_prefix

_OPTIONS, _MERGES = "framesift.options", "framesift.merges"
# CLIP's scripted archives hold sizes beside the weights, averages hold counters.
_NOT_WEIGHTS = {"input_resolution", "context_length", "vocab_size", "n_averaged", "initted", "step"}
# Buffers that follow from the sizes; and what training counts, which old files lack.
_COMPUTED = ("position_ids", "attn_mask")
_COUNTED = ".num_batches_tracked"


@dataclass(frozen=True)
class Checkpoint:
    """Weights under OpenAI's tower names, float32, and what framesift saved with them.

    ``merges`` is the text of the tokenizer's merges file where the model has a vocabulary of its own; ``notes`` say for
    a person what was taken of a file that holds more than one model.
    """

    state: dict[str, Tensor]
    options: dict[str, Any] = field(default_factory=dict)
    merges: str | None = None
    notes: tuple[str, ...] = ()


def load(path: str | os.PathLike[str], *, key: str | None = None, prefix: str | None = None) -> Checkpoint:
    """Read a safetensors or torch file, a TorchScript archive of OpenAI's among them. Nothing in it is run.

    Wrapped files (``{"state_dict": ..., "optimizer": ...}``), prefixes of names, a bare CLIP without the ``clip.``
    prefix, half precision and Hugging Face tower names are all brought to one form. Optimizer state is never read.

    Args:
        path: a file, a folder with one, or an index of several, as Hugging Face's libraries write it.
        key: where the state_dict lies in a torch file, if not where most authors put it; see ``choosing.state_of``.
        prefix: what the model's names begin with, if no prefix that is known; see ``choosing.bare_names``.

    Raises:
        CheckpointError: no such file, neither format, damaged, or a torch file that holds more than tensors, plain
            containers and objects known to be harmless: such a file could run code in other hands, so it is refused.
    """
    files = parts_of(Path(path))
    read = [_read(file, key, prefix) for file in files]
    state = read[0].state
    for file, part in zip(files[1:], read[1:], strict=True):
        if twice := state.keys() & part.state.keys():
            raise CheckpointError(f"{file}: it holds {min(twice)}, and so does another part of the checkpoint")
        state.update(part.state)
    named, notes = normalised(state), read[0].notes
    if prefix is None and not recognisable(named):
        for under in prefixes(state):
            behind = normalised({name.removeprefix(under): x for name, x in state.items() if name.startswith(under)})
            if recognisable(behind):
                named, notes = behind, (*notes, f"weights: the tensors under {under} were taken")
                break
    return Checkpoint(named, read[0].options, read[0].merges, notes)


def _read(file: Path, key: str | None, prefix: str | None) -> Checkpoint:
    """One file, its tensors under the names that they have without known prefixes."""
    safetensors = look_at(file)
    try:
        if not safetensors:
            state, notes = _torch_state(file, key, prefix)
            return Checkpoint(state, notes=tuple(notes))
        if key is not None:
            raise CheckpointError("a safetensors file has no keys above its tensors: leave --key out")
        state, header = _safetensors(file)
        state, notes = bare_names(state, prefix)
        return Checkpoint(state, _options(header), header.get(_MERGES), tuple(notes))
    except CheckpointError as error:
        raise CheckpointError(f"{file}: {error}") from error


def _safetensors(file: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(file, framework="pt") as stream:
            notes = dict(stream.metadata() or {})
            return {key: stream.get_tensor(key) for key in stream.keys()}, notes  # noqa: SIM118
    # Which error damage raises depends on the layer that meets it.
    except Exception as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise CheckpointError(f"not a whole safetensors file: {reason[:200]}. Fetch or save it again") from error


def _options(notes: Mapping[str, str]) -> dict[str, Any]:
    try:
        options = json.loads(notes.get(_OPTIONS, "{}"))
    except (ValueError, RecursionError) as error:
        raise CheckpointError("its options are not JSON: export or train it again") from error
    if not isinstance(options, dict):
        raise CheckpointError(f"its options are a JSON {type(options).__name__}, they must be an object")
    return options


def _torch_state(file: Path, key: str | None, prefix: str | None) -> tuple[dict[str, Tensor], list[str]]:
    try:
        with opened(file) as torch_file:
            described, notes = state_of(torch_file.value, key)
            named, more = bare_names(described, prefix)
            return torch_file.tensors(named), notes + more
    except Forbidden as error:
        raise CheckpointError(
            f"it can't be read as weights only (it is damaged, or holds objects that could run code): it holds "
            f"{ascii(str(error)[:200])[1:-1]}. Save the bare state_dict with torch.save or safetensors and try again"
        ) from error
    except Damaged as error:
        raise CheckpointError(f"not a whole torch file: {error}. Fetch or save it again") from error
    except OSError as error:
        raise CheckpointError(f"it can't be read: {error.strerror or error}") from error


def normalised(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """One form for every spelling of a state_dict; a normalised one comes back unchanged.

    Known prefixes go, ``gamma`` and ``beta`` become weight and bias, a bare CLIP gets the prefix ``clip.``, STAN's and
    Hugging Face's towers get OpenAI's names, buffers of position ids go, and floating tensors become float32.
    """
    bare = {key: value for key, value in bare_names(state, None)[0].items() if key not in _NOT_WEIGHTS}
    named = to_openai(stan_to_hugging_face(with_clip_prefix(legacy_layer_norms(own_names(bare)))))
    return {
        key: value.float() if value.is_floating_point() else value
        for key, value in named.items()
        if not key.endswith(_COMPUTED)
    }


def fit(model: nn.Module, state: Mapping[str, Tensor], *, ignore: tuple[str, ...] = ()) -> None:
    """Make the tensors of ``state`` those of ``model``; names that start with one of ``ignore`` may be absent.

    They are taken as they are and not copied, but for those that share their memory.

    Raises:
        CheckpointError: lists every missing, unexpected and mis-shaped tensor.
    """
    wanted = model.state_dict()
    needed = (key for key in wanted if key not in state and not key.endswith(_COUNTED))
    missing = [key for key in needed if not key.startswith(ignore or ("\0",))]
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
    model.load_state_dict(_apart(state), strict=False, assign=True)


def _apart(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors, copied where one shares its memory with others: what changes a weight must change no other."""
    apart, seen = {}, set()
    for key, tensor in state.items():
        storage = tensor.untyped_storage()
        alone = storage.data_ptr() not in seen and storage.nbytes() == tensor.nbytes and tensor.is_contiguous()
        seen.add(storage.data_ptr())
        apart[key] = tensor if alone else tensor.clone(memory_format=torch.contiguous_format)
    return apart


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
