"""The files of a checkpoint: one, or those of a folder as Hugging Face's libraries write it, whole or in parts."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from ..bundle.errors import CheckpointError

# What weights are called, the likeliest first; an index says which files hold which tensors.
_INDEXES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
_WHOLE = ("model.safetensors", "pytorch_model.bin", "open_clip_pytorch_model.bin")
_SUFFIXES = (".safetensors", ".pt", ".pth", ".bin", ".ckpt", ".tar", ".pdparams")
# CLIP4Clip and those that follow it write one for each epoch.
_OF_AN_EPOCH = re.compile(r"pytorch_model\.bin\.\d+", re.ASCII)
# Of training, not weights.
_BESIDE = (
    "optimizer",
    "pytorch_opt",
    "scheduler",
    "training_args",
    "rng_state",
    "scaler",
    "zero_pp_rank",
    "bf16_zero_pp_rank",
)
_LARGEST_INDEX, _MOST_FILES = 64 << 20, 1000


def parts_of(path: Path) -> tuple[Path, ...]:
    """The files that hold a checkpoint's tensors: ``path`` itself, or those of a folder, or those that an index names.

    Raises:
        CheckpointError: a folder without weights or with several, an index that can't be read, or files that it names
            and that are not there.
    """
    if path.name.endswith(".index.json"):
        return _indexed(path)
    if not path.is_dir():
        return (path,)
    for name in _INDEXES:
        if (path / name).is_file():
            return _indexed(path / name)
    for name in _WHOLE:
        if (path / name).is_file():
            return (path / name,)
    found = sorted(file for file in path.iterdir() if _may_hold_weights(file.name))
    if len(found) == 1:
        return (found[0],)
    if not found:
        raise CheckpointError(f"the folder {path} holds no weights: no file that ends in {', '.join(_SUFFIXES)}")
    shown = ", ".join(file.name for file in found[:8])
    raise CheckpointError(f"the folder {path} holds several checkpoints: name one of them, {shown}")


def _may_hold_weights(name: str) -> bool:
    known = Path(name).suffix in _SUFFIXES or _OF_AN_EPOCH.fullmatch(name)
    return bool(known) and not name.startswith(_BESIDE)


def folder_of(path: Path) -> Path:
    """Where what belongs to a checkpoint lies, such as its vocabulary."""
    return path if path.is_dir() else path.parent


def _indexed(index: Path) -> tuple[Path, ...]:
    try:
        with index.open("rb") as stream:
            found: Any = json.loads(stream.read(_LARGEST_INDEX))
        names = sorted(set(found["weight_map"].values()))
    except OSError as error:
        raise CheckpointError(f"{index} can't be read: {error.strerror}") from error
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"{index} is no index of weights: it has no weight_map of names to files") from error
    # A stranger's index names no files of elsewhere.
    if strange := [name for name in names if not isinstance(name, str) or Path(name).name != name or name[:1] == "."]:
        raise CheckpointError(f"{index} names {str(strange[0])[:60]!r}, which is no file beside it")
    if not 0 < len(names) <= _MOST_FILES:
        raise CheckpointError(f"{index} names {len(names)} files")
    files = tuple(index.with_name(name) for name in names)
    if missing := [file.name for file in files if not file.is_file()]:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise CheckpointError(f"{index} names files that are not there: {', '.join(missing[:3])}{more}. Fetch them too")
    return files
