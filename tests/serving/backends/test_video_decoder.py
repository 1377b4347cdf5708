"""The video decoder's body without a server: it writes what the video encoder reads."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from framesift.export.bundle.errors import InvalidRequest, InvalidVideo
from framesift.export.bundle.manifest import FrameProfile, Manifest
from framesift.export.bundle.packing import pack_rows
from framesift.export.bundle.ports import DURATION, FRAMES, ID, MASK, NOISE, TIMESTAMPS, VIDEO, VIDEO_ENCODER
from framesift.export.bundle.spec import GraphPorts, TensorSpec
from framesift.export.bundle.store import MANIFEST
from framesift.export.bundle.video.decode import decode
from framesift.export.bundle.video.noise import selector_noise
from framesift.export.corpus.generate import write_corpus
from framesift.serving.backends.video_decoder import VideoDecoder
from framesift.serving.repository.render import reference_manifest

PROFILE = FrameProfile(count=40, size=16, sampler="second_steps", resize="tensor_bicubic", missing="mask")
PORTS = {
    FRAMES: TensorSpec(FRAMES, "float32", ("batch", 40, 3, 16, 16)),
    MASK: TensorSpec(MASK, "float32", ("batch", 40)),
    NOISE: TensorSpec(NOISE, "float32", ("batch", 40, 5, 4)),
}


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write_corpus(tmp_path_factory.mktemp("video"), 1, "test", 3)[0].video.read_bytes()


def _decoder(folder: Path, profile: FrameProfile, *inputs: str) -> VideoDecoder:
    manifest = reference_manifest()
    encoder = GraphPorts(tuple(PORTS[name] for name in inputs), manifest.graphs[VIDEO_ENCODER].outputs)
    manifest = replace(manifest, frames=profile, graphs={**manifest.graphs, VIDEO_ENCODER: encoder})
    assert Manifest.from_json(manifest.to_json()) == manifest
    (folder / MANIFEST).write_text(manifest.to_json(), encoding="utf-8")
    decoder = VideoDecoder()
    decoder.setup({}, folder)
    return decoder


def _request(video: bytes, name: str | None = None) -> dict[str, np.ndarray[Any, Any]]:
    named = {} if name is None else {ID: pack_rows([name.encode()], 40)}
    return {VIDEO: np.frombuffer(video, np.uint8)[None], **named}


def test_frames_alone(tmp_path: Path, video: bytes) -> None:
    profile = FrameProfile(count=4, size=16)
    (written,) = _decoder(tmp_path, profile, FRAMES).run([_request(video)])
    clip = decode(video, profile)
    assert set(written) == {FRAMES, TIMESTAMPS, DURATION}
    assert written[FRAMES].dtype == np.uint8
    assert np.array_equal(written[FRAMES], clip.frames[None])
    assert np.allclose(written[TIMESTAMPS], clip.timestamps[None])
    assert written[DURATION].shape == (1, 1)


def test_mask_tells_padding(tmp_path: Path, video: bytes) -> None:
    (written,) = _decoder(tmp_path, PROFILE, FRAMES, MASK).run([_request(video)])
    assert set(written) == {FRAMES, TIMESTAMPS, DURATION, MASK}
    assert written[FRAMES].dtype == written[MASK].dtype == np.float32
    assert np.array_equal(written[MASK], decode(video, PROFILE).mask[None])
    assert 0 < written[MASK].sum() < 40
    assert not written[FRAMES][written[MASK] == 0].any()


def test_noise_belongs_to_the_id(tmp_path: Path, video: bytes) -> None:
    decoder = _decoder(tmp_path, PROFILE, FRAMES, MASK, NOISE)
    one, other, again = decoder.run([_request(video, name) for name in ("Zebra 🦓", "b", "Zebra 🦓")])
    assert one[NOISE].shape == (1, 40, 5, 4)
    assert one[NOISE].dtype == np.float32
    assert np.array_equal(one[NOISE][0], selector_noise("Zebra 🦓", (40, 5, 4)))
    assert np.array_equal(one[NOISE], again[NOISE])
    assert not np.array_equal(one[NOISE], other[NOISE])


def test_one_bad_request_spoils_no_other(tmp_path: Path, video: bytes) -> None:
    decoder = _decoder(tmp_path, PROFILE, FRAMES, NOISE)
    broken = {**_request(video), ID: np.array([[0xFF, 0]], np.uint8)}
    unreadable, nameless, good = decoder.run([_request(b"not a video", "a"), broken, _request(video, "a")])
    assert isinstance(unreadable, InvalidVideo)
    assert isinstance(nameless, InvalidRequest)
    assert set(good) == {FRAMES, TIMESTAMPS, DURATION, NOISE}
