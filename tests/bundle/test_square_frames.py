"""Frames and pixels of All-in-one and ClipBERT: as their authors' own code takes and resizes them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

from framesift.export.bundle.errors import BundleError
from framesift.export.bundle.manifest import FrameProfile
from framesift.export.bundle.video.profile import check_profile, sample
from framesift.export.bundle.video.resizing import RESIZES, enlarged_crop, tensor_padded
from framesift.export.bundle.video.sampling import uniform_middle

from .test_sampling import FOLDERS

PIXELS = [
    pytest.param(path, view, id=f"{folder.name}-{path.stem}-{view}")
    for folder in FOLDERS
    for path in folder.glob("preprocess/published48*.safetensors")
    if "out.all_in_one.land" in load_file(path)
    for view in ("land", "port")
]
CHOSEN = [
    pytest.param(row, id=f"{folder.name}-{row['video_frames']}")
    for folder in FOLDERS
    for path in folder.glob("preprocess/published_sampling.json")
    for row in json.loads(path.read_text(encoding="utf-8"))["rows"]
]
MEAN, STD = (np.array(values)[:, None, None] for values in ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)))


@pytest.mark.parametrize(("path", "view"), PIXELS)
def test_pixels_equal_the_authors(path: Path, view: str) -> None:
    tensors = load_file(path)
    expected = tensors[f"out.all_in_one.{view}"] * STD + MEAN
    assert np.abs(expected - np.round(expected)).max() < 1e-4
    assert np.array_equal(enlarged_crop(tensors[f"in.square112.{view}"], 48), np.round(expected))
    padded = tensor_padded(tensors[f"in.{view}"], 48)
    assert np.abs(padded - tensors[f"out.clipbert_padded.{view}"]).max() < 1e-4
    for name in ("pil_bilinear_square", "tensor_padded"):
        made = RESIZES[name](tensors[f"in.{view}"], 48)
        assert (made.shape, made.dtype) == ((3, 48, 48), np.dtype(FrameProfile(resize=name).dtype))
        assert made.flags.c_contiguous


@given(st.integers(1, 90), st.integers(1, 90), st.integers(1, 64), st.integers(0, 99))
@settings(max_examples=100, deadline=None)
def test_tensor_padded_equals_pytorch(height: int, width: int, size: int, seed: int) -> None:
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    tall, wide = (max(1, int(size * side / max(height, width))) for side in (height, width))
    tensor = torch.from_numpy(image).permute(2, 0, 1)[None].float()
    whole = torch.nn.functional.interpolate(tensor, (tall, wide), mode="bilinear", align_corners=False)[0].numpy()
    result = tensor_padded(image, size)
    assert result.shape == (3, size, size)
    assert np.abs(result[:, :tall, :wide] - whole).max() < 1e-3
    assert not result[:, tall:].any()
    assert not result[:, :, wide:].any()


@pytest.mark.parametrize("row", CHOSEN)
def test_frames_equal_the_authors(row: dict) -> None:
    total = row["video_frames"]
    for name, wanted in row.items():
        system, _, rest = name.partition("_")
        if system == "clipbert":
            number, rate = int(rest.split("x")[0]), float(rest.split("_at_")[1].removesuffix("fps"))
            profile = FrameProfile(count=2 * number, sampler="clips", together=2)
            assert sample(total, rate, profile) == [frame for clip in wanted for frame in clip], name
        elif name.startswith("all_in_one"):
            assert uniform_middle(total, 25.0, int(name.split("_")[3])) == wanted, name


@pytest.mark.parametrize(("count", "together"), [(4, 3), (4, 0), (2, 4)])
def test_frames_that_are_no_whole_clips_are_refused(count: int, together: int) -> None:
    with pytest.raises(BundleError, match="no clips"):
        check_profile(FrameProfile(count=count, sampler="clips", together=together))
