"""Still images are videos of one frame, pixel by pixel what Pillow reads; hostile ones are refused or are a picture."""

from __future__ import annotations

import contextlib
import io
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageOps

from framesift.export.bundle.errors import InvalidVideo
from framesift.export.bundle.manifest import FrameProfile
from framesift.export.bundle.video.decode import decode
from framesift.export.bundle.video.limits import VideoLimits
from framesift.export.bundle.video.sandbox import Sandbox

from .watching import Watched

SIDE = 24
PROFILE = FrameProfile(count=3, size=SIDE, missing="mask")
# No side is a multiple of a block of JPEG's.
PICTURE = Image.fromarray(np.random.default_rng(3).integers(0, 256, (3, 4, 3), np.uint8)).resize((45, 31))


def encoded(kind: str, picture: Image.Image = PICTURE, orientation: int | None = None, **options: Any) -> bytes:
    file = io.BytesIO()
    if orientation is not None:
        options["exif"] = Image.Exif()
        options["exif"][0x0112] = orientation
    picture.save(file, kind, **options)
    return file.getvalue()


def shown(file: bytes) -> npt.NDArray[np.uint8]:
    """As Pillow and CLIP's own preprocessing have it: turned, without what is transparent, resized, cropped."""
    picture = ImageOps.exif_transpose(Image.open(io.BytesIO(file))).convert("RGB")
    scale = SIDE / min(picture.size)
    picture = picture.resize((int(picture.width * scale), int(picture.height * scale)), Image.Resampling.BICUBIC)
    left, top = round((picture.width - SIDE) / 2), round((picture.height - SIDE) / 2)
    return np.asarray(picture.crop((left, top, left + SIDE, top + SIDE))).transpose(2, 0, 1)


# Without colours of half the size, which decoders enlarge in different ways.
WHOLE: dict[str, dict[str, Any]] = {"JPEG": {"subsampling": 0}, "PNG": {}, "WEBP": {"lossless": True}}


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_picture_is_turned_as_exif_says(kind: str, orientation: int) -> None:
    file = encoded(kind, orientation=orientation, **WHOLE[kind])
    video = decode(file, PROFILE)
    assert np.abs(video.frames[0].astype(int) - shown(file)).max() <= 2
    assert (video.frame_count, video.mask.tolist(), video.timestamps.tolist()) == (1, [1, 0, 0], [0, 0, 0])


GREY = PICTURE.convert("L")
ODD = {
    "alpha": ("PNG", PICTURE.convert("RGBA"), {}),
    "grey and alpha": ("PNG", PICTURE.convert("LA"), {}),
    "a palette": ("PNG", PICTURE.convert("P"), {}),
    "one bit": ("PNG", PICTURE.convert("1"), {}),
    "grey": ("JPEG", GREY, {}),
    "in passes": ("JPEG", PICTURE, {"progressive": True, "subsampling": 0}),
    "four inks": ("JPEG", PICTURE.convert("CMYK"), {"quality": 95}),
    "lossy WebP": ("WEBP", GREY.convert("RGB"), {}),
    "WebP with alpha": ("WEBP", GREY.convert("RGBA"), {}),
}


@pytest.mark.parametrize("odd", ODD)
def test_odd_kinds_are_what_pillow_reads(odd: str) -> None:
    kind, picture, options = ODD[odd]
    file = encoded(kind, picture, **options)
    # Two ways from chroma or ink to RGB round differently.
    far = np.abs(decode(file, PROFILE).frames[0].astype(int) - shown(file))
    assert far.mean() < (1.5 if kind != "PNG" else 0.01)


def test_sixteen_bits_keep_their_upper_eight() -> None:
    wide = np.random.default_rng(0).integers(0, 1 << 16, (SIDE, SIDE)).astype(np.uint16)
    frame = decode(encoded("PNG", Image.fromarray(wide)), PROFILE).frames[0]
    assert np.abs(frame.astype(int) - wide / 257).max() < 1.5


def test_what_is_transparent_is_left_out() -> None:
    hidden = PICTURE.copy()
    hidden.putalpha(Image.new("L", PICTURE.size, 0))
    assert np.array_equal(decode(encoded("PNG", hidden), PROFILE).frames, decode(encoded("PNG"), PROFILE).frames)


def png(width: int, height: int, rows: bytes, *more: tuple[bytes, bytes]) -> bytes:
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = ((b"IHDR", head), *more, (b"IDAT", rows), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts
    )


HUGE = zlib.compress(bytes(1 << 26), 9)
HOSTILE = {
    "a PNG of 100,000 a side": (png(100_000, 100_000, HUGE), "the limit is 8192 pixels on a side"),
    "a JPEG of 65,000 a side": (
        b"\xff\xd8\xff\xc0\x00\x11\x08\xfd\xe8\xfd\xe8\x03\x01\x22\x00\x02\x11\x01\x03\x11\x01\xff\xd9",
        "the limit is 8192 pixels on a side",
    ),
    "a WebP of 16,000 a side": (encoded("WEBP", Image.new("RGB", (16_000, 16))), "the limit is 8192"),
    "a ribbon": (encoded("PNG", Image.new("RGB", (2000, 10))), "the limit is an aspect ratio of 32:1"),
    "half a PNG": (encoded("PNG")[:-30], "truncated: the image's end"),
    "half a JPEG": (encoded("JPEG")[:-60], "truncated: the image's end"),
    "half a WebP": (encoded("WEBP")[:-30], "truncated: the image's end"),
    "a moving WebP": (
        encoded("WEBP", save_all=True, append_images=[PICTURE.rotate(90)], duration=100),
        "animated WebP",
    ),
    "a name of PNG alone": (b"\x89PNG\r\n\x1a\n", "truncated"),
    "PNG without a picture": (png(20, 20, b""), "damaged|0 of its 1"),
    "an end without a beginning": (b"\xff\xd8\xff\xd9" + bytes(100), "truncated"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_images_are_refused(kind: str) -> None:
    file, why = HOSTILE[kind]
    with pytest.raises(InvalidVideo, match=why):
        decode(file, PROFILE)


@pytest.fixture(scope="module")
def watched() -> Iterator[Watched]:
    with Sandbox() as sandbox:
        found = Watched(sandbox)
        yield found
        found.stop()


BOMBS = {
    "text that inflates": png(20, 20, zlib.compress(bytes(20 * 61)), (b"zTXt", b"a\0\0" + HUGE)),
    "a profile that inflates": png(20, 20, zlib.compress(bytes(20 * 61)), (b"iCCP", b"a\0\0" + HUGE)),
    "rows beyond the picture": png(20, 20, HUGE),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_what_inflates_is_bounded(bomb: str, watched: Watched) -> None:
    video = None
    with watched.bounds(), contextlib.suppress(InvalidVideo):
        video = watched.sandbox.decode(BOMBS[bomb], PROFILE)
    assert video is None or video.frame_count == 1


def test_changed_images_are_a_picture_or_refused() -> None:
    rng = np.random.default_rng(20261129)
    limits = VideoLimits(max_work=4.0)
    sound = [encoded(kind, orientation=6) for kind in ("JPEG", "PNG", "WEBP")]
    pictures = 0
    with Sandbox(limits=limits) as sandbox:
        for number in range(90):
            file = bytearray(sound[number % 3])
            for place in rng.integers(0, len(file), 1 + number % 7):
                file[place] = rng.integers(0, 256)
            cut = bytes(file[: rng.integers(12, len(file))]) if number % 5 == 0 else bytes(file)
            with contextlib.suppress(InvalidVideo):
                assert sandbox.decode(cut, PROFILE).frames.shape == (3, 3, SIDE, SIDE)
                pictures += 1
    assert 0 < pictures < 90
