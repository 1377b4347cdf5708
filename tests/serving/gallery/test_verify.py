"""Flipped bytes in a gallery's files: found when a search loads them, and named by ``gallery verify``."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from framesift.__main__ import main
from framesift.export.bundle.errors import GalleryError
from framesift.export.bundle.manifest import Manifest
from framesift.export.bundle.ports import FRAME_EMBEDDINGS
from framesift.serving.gallery.rows import GalleryEntry
from framesift.serving.gallery.store import Gallery
from framesift.serving.search.snapshot import Snapshot

MakeEntry = Callable[..., GalleryEntry]
NAMES = [f"v{number}.mp4" for number in range(40)]


@pytest.fixture
def gallery(folder: Path, manifest: Manifest, make_entry: MakeEntry) -> Gallery:
    gallery = Gallery.open(folder, manifest)
    gallery.add([make_entry(name, source=f"/films/{name}", metadata='{"year": 1999}') for name in NAMES])
    return gallery


def _verify(folder: Path | None, **env: str) -> Result:
    return CliRunner().invoke(main, ["gallery", "verify", *([] if folder is None else [str(folder)])], env=env)


def _data(folder: Path) -> Path:
    (file,) = folder.glob("videos.lance/data/*")
    return file


def _flip(file: Path, place: int, bit: int = 0) -> None:
    raw = bytearray(file.read_bytes())
    raw[place] ^= 1 << bit
    file.write_bytes(raw)


def _place(folder: Path, number: int, gallery: Gallery) -> int:
    """Where the frame embeddings of a video lie in the data file."""
    (batch,) = gallery.reader().batches([FRAME_EMBEDDINGS], -1)
    row = batch.column("id").to_pylist().index(NAMES[number])
    wanted = np.asarray(batch.column(FRAME_EMBEDDINGS).flatten().to_numpy()).reshape(len(NAMES), -1)[row].tobytes()
    return _data(folder).read_bytes().index(wanted)


def test_a_whole_gallery_is_said_to_be_whole(gallery: Gallery, folder: Path, make_entry: MakeEntry) -> None:
    gallery.add([make_entry("more")])
    gallery.add([make_entry(NAMES[3], seed=1)])
    gallery.remove([NAMES[5]])
    for result in (_verify(folder), _verify(None, FRAMESIFT_GALLERY=str(folder))):
        assert result.exit_code == 0, result.output
        assert result.stdout == "40 videos, none has changed since it was written\n"


def test_a_flipped_bit_is_named_with_its_video_and_the_next_step(gallery: Gallery, folder: Path) -> None:
    _flip(_data(folder), _place(folder, 17, gallery) + 11, bit=3)
    result = _verify(folder)
    assert result.exit_code == 1
    assert result.stdout == "'v17.mp4': changed: frame_embeddings\n"
    assert "1 of 40 videos have changed on disk. Remove them and index their files again" in result.stderr
    assert f"framesift gallery remove {folder} v17.mp4" in result.stderr
    # What the message says mends it.
    gallery.remove(["v17.mp4"])
    assert _verify(folder).exit_code == 0


def test_a_search_does_not_load_what_has_changed(gallery: Gallery, folder: Path) -> None:
    place = _place(folder, 4, gallery)
    Snapshot(gallery.reader(), [FRAME_EMBEDDINGS])
    _flip(_data(folder), place)
    with pytest.raises(GalleryError, match=r"changed on disk .* of 'v4.mp4': `framesift gallery verify`"):
        Snapshot(Gallery.existing(folder).reader(), [FRAME_EMBEDDINGS])


def test_no_flipped_byte_of_the_data_passes_unseen(gallery: Gallery, folder: Path) -> None:
    """Every flip is found, or changes nothing of what is read: padding, statistics."""
    file, random_ = _data(folder), random.Random(0)
    raw = file.read_bytes()
    columns = [*gallery.schema.columns]
    before = gallery.reader().table.to_table(columns)
    found = 0
    for _ in range(40):
        _flip(file, random_.randrange(len(raw)), random_.randrange(8))
        result = _verify(folder)
        if result.exit_code == 0:
            assert Gallery.existing(folder).reader().table.to_table(columns).equals(before)
        else:
            assert isinstance(result.exception, SystemExit), result.exception
            found += 1
        file.write_bytes(raw)
    assert found > 20


def test_a_file_that_was_cut_is_said_to_be_unreadable(gallery: Gallery, folder: Path, make_entry: MakeEntry) -> None:
    first = _data(folder)
    gallery.add([make_entry("later")])
    first.write_bytes(first.read_bytes()[:60])
    result = _verify(folder)
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    assert "index all videos into a new gallery" in result.stderr
