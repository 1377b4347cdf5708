"""Damaged and hostile files against their readers.

A reader may take a file that was changed where it doesn't matter; it may never raise anything but framesift's errors.
"""

from __future__ import annotations

import io
import json
import math
import pickle
import random
import resource
import struct
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from framesift.export.build import resolve
from framesift.export.bundle.errors import FramesiftError
from framesift.export.bundle.features.arrays_file import read_arrays
from framesift.export.bundle.features.checks import check_arrays
from framesift.export.bundle.features.profile import FeatureArray, FeatureProfile
from framesift.export.bundle.features.tensors_file import write_tensors
from framesift.export.bundle.manifest import Manifest
from framesift.export.bundle.manifest_checks import FILES, check_manifest
from framesift.export.checkpoint import load, save
from framesift.export.corpus.manifest import read_manifest
from framesift.export.encoders.clip import ClipConfig
from framesift.export.systems.dong2026 import Dong2026, Dong2026Config
from framesift.serving.repository.plan import plan
from framesift.serving.repository.render import files, reference_manifest

from .damage import damaged, odd_json
from .table import Progress, Row

SMALL = ClipConfig(
    embed_dim=32,
    image_size=16,
    patch=8,
    vision_width=64,
    vision_layers=1,
    text_width=64,
    text_layers=1,
    vocab_size=90,
    context_length=16,
)


MOST_BYTES = 300 << 20
FEATURES = FeatureProfile("pooled", (FeatureArray("2d", ("rows", 6)), FeatureArray("3d", ("steps", 4), optional=True)))


def attack(folder: Path, count: int, seed: int, progress: Progress) -> list[Row]:
    """Read so many files in all, of every kind as many."""
    torch.manual_seed(0)
    wholes = every_form(Dong2026(Dong2026Config(frames=3, top_k=2, temporal="positional", clip=SMALL)), folder)
    before = _peak_bytes()
    kinds = (
        lambda some: attack_checkpoints(wholes, folder, some, seed, progress),
        lambda some: attack_pickles(wholes[0], folder, some, seed, progress),
        lambda some: attack_manifests(_sealed(), some, seed, progress),
        lambda some: attack_lists(folder, some, seed, progress),
        lambda some: attack_features(some, seed, progress),
    )
    rows = [kind(count // len(kinds) + (place < count % len(kinds))) for place, kind in enumerate(kinds)]
    memory = Row(f"none of them takes more than {MOST_BYTES >> 20} MB")
    taken = _peak_bytes() - before
    memory.see(taken < MOST_BYTES, f"{taken >> 20} MB were taken")
    memory.worst = f"{taken >> 20} MB"
    return [*rows, memory]


class Node(nn.Module):
    """Parameters by dotted names, which a scripted archive keeps in modules."""

    def put(self, name: str, value: torch.Tensor) -> None:
        head, _, rest = name.partition(".")
        if not rest:
            self.register_parameter(head, nn.Parameter(value, requires_grad=False))
            return
        if head not in self._modules:
            self.add_module(head, Node())
        self.get_submodule(head).put(rest, value)  # type: ignore[operator]


def scripted(state: dict[str, torch.Tensor], path: Path) -> Path:
    """A TorchScript archive of these weights, in half precision as OpenAI's are."""
    root = Node()
    for name, value in state.items():
        root.put(name, value.half())
    root.register_buffer("input_resolution", torch.tensor(32))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.script(root).save(str(path))
    return path


def every_form(model: nn.Module, folder: Path) -> list[Path]:
    """A model's checkpoint in every form that is read."""
    state = model.state_dict()
    wrapped = {"epoch": 3, "state_dict": {f"module.{key}": value for key, value in state.items()}}
    torch.save(wrapped, folder / "zip.pt")
    torch.save(wrapped, folder / "legacy.pt", _use_new_zipfile_serialization=False)
    save(folder / "tensors.safetensors", model, {"top_k": 2, "heads": 2})
    arrays = {key: value.numpy() for key, value in state.items()}
    (folder / "paddle.pdparams").write_bytes(pickle.dumps(arrays, protocol=2))
    return [
        folder / "zip.pt",
        folder / "legacy.pt",
        folder / "tensors.safetensors",
        folder / "paddle.pdparams",
        scripted(state, folder / "script.pt"),
    ]


def attack_checkpoints(wholes: list[Path], folder: Path, count: int, seed: int, progress: Progress) -> Row:
    """Damage checkpoints, read each and take it for a model."""
    row, random_ = Row("a damaged checkpoint raises one typed error"), random.Random(seed)
    raw = {path: path.read_bytes() for path in wholes}
    for number in range(count):
        whole = wholes[number % len(wholes)]
        data = raw[whole]
        # Damage to the numbers is found by checksums; what says where they lie is smaller and breaks in more ways.
        path = folder / f"damaged{whole.suffix}"
        path.write_bytes(damaged(data, random_) if number % 3 else _at_the_ends(data, random_))
        _try(row, progress, lambda path=path: resolve(load(path), {}).build())  # type: ignore[misc]
    return row


def attack_pickles(whole: Path, folder: Path, count: int, seed: int, progress: Progress) -> Row:
    """Damage the pickle in a zip archive alone, so that the archive around it is whole."""
    row, random_ = Row("a damaged pickle raises one typed error"), random.Random(seed)
    with zipfile.ZipFile(whole) as archive:
        records = {name: archive.read(name) for name in archive.namelist()}
    (pickled,) = (name for name in records if name.endswith("/data.pkl"))
    path = folder / "pickled.pt"
    for _ in range(count):
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in records.items():
                archive.writestr(name, damaged(data, random_) if name == pickled else data)
        _try(row, progress, lambda: load(path))
    return row


def attack_manifests(manifest: Manifest, count: int, seed: int, progress: Progress) -> Row:
    """Change bundles' manifests, and render the repository of those that are let in."""
    row, random_ = Row("a strange manifest raises BundleError, or names nothing but its own"), random.Random(seed)
    text = manifest.to_json()

    def check() -> None:
        let_in = check_manifest(Manifest.from_json(odd_json(text, random_)))
        assert set(let_in.files) <= FILES
        for served in plan(let_in):
            assert served.name.isidentifier()
            files(served)

    for _ in range(count):
        _try(row, progress, check)
    return row


def attack_lists(folder: Path, count: int, seed: int, progress: Progress) -> Row:
    """Change lists of videos and captions, and damage their bytes."""
    row, random_ = Row("a strange list of clips raises one typed error"), random.Random(seed)
    (folder / "a.mp4").write_bytes(b"")
    line = '{"video": "a.mp4", "captions": ["a red circle"], "group": "g"}'
    path = folder / "clips.jsonl"
    for number in range(count):
        text = "\n".join([line, odd_json(line, random_), line])
        path.write_bytes(damaged(text.encode(), random_) if number % 2 else text.encode())
        _try(row, progress, lambda: read_manifest(path))
    return row


def attack_features(count: int, seed: int, progress: Progress) -> Row:
    """Damage feature files of every form, and what their headers say."""
    row, random_ = Row("a damaged feature file raises one typed error"), random.Random(seed)
    arrays: dict[str, np.ndarray] = {"2d": np.ones((3, 6), np.float32), "3d": np.ones((2, 4), np.float16)}
    wholes = [write_tensors(arrays)]
    for saved in (np.savez, np.savez_compressed):
        stream = io.BytesIO()
        saved(stream, **arrays)
        wholes.append(stream.getvalue())
    (length,) = struct.unpack("<Q", wholes[0][:8])
    head, numbers = wholes[0][8 : 8 + length].decode(), wholes[0][8 + length :]
    for number in range(count):
        data = damaged(wholes[number % 3], random_)
        if number % 4 > 1:
            odd = (odd_json(head, random_) if number % 4 == 2 else _odd_shape(head, random_)).encode()
            data = struct.pack("<Q", len(odd)) + odd + numbers
        _try(row, progress, lambda data=data: check_arrays(read_arrays(memoryview(data)), FEATURES))  # type: ignore[misc]
    return row


def _odd_shape(head: str, random_: random.Random) -> str:
    """A header in which an array has sizes that multiply to what there is, or to nothing, however many and large."""
    told = json.loads(head)
    shape = [random_.choice((0, 1, 1, 2, 1 << 31, 1 << 61, 1 << 70)) for _ in range(random_.choice((1, 2, 3, 40)))]
    count = math.prod(shape)
    told["2d"] |= {"shape": shape, "data_offsets": [0, 4 * count if count < 18 else 0]}
    return json.dumps(told)


def _peak_bytes() -> int:
    """The most memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _at_the_ends(data: bytes, random_: random.Random) -> bytes:
    """Damage within the first and last kilobytes, where formats keep what says where things lie."""
    edge = min(3000, len(data) // 2)
    if random_.random() < 0.5:
        return damaged(data[:edge], random_) + data[edge:]
    return data[:-edge] + damaged(data[-edge:], random_)


def _try(row: Row, progress: Progress, read: Callable[[], object]) -> None:
    progress(1)
    try:
        read()
    except FramesiftError as error:
        message = str(error)
        told = "weights_only" in message or "Traceback" in message
        row.see(not told and message.encode("utf-8", "replace").decode() == message, f"it says {message[:200]}")
    except Exception as error:
        row.see(False, f"{type(error).__name__}: {str(error)[:200]}")
    else:
        row.see(True, "")


def _sealed() -> Manifest:
    """The reference manifest with the files that a bundle of it has."""
    names = ("video_encoder.onnx", "text_encoder.onnx", "scorer.onnx", "weights.safetensors", "merges.txt.gz")
    return replace(reference_manifest(), fingerprint="0" * 64, files=dict.fromkeys(names, "0" * 64))
