"""The cache that searches map: it opens as what the table holds, or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import random
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from framesift.export.bundle.manifest import Manifest
from framesift.export.bundle.ports import FRAME_EMBEDDINGS, MEAN_EMBEDDING
from framesift.kernels.lanes import read_rows
from framesift.serving.gallery.rows import GalleryEntry
from framesift.serving.gallery.store import CACHE, Gallery
from framesift.serving.search import loading, snapshot
from framesift.serving.search.mapped import Building, Layout
from framesift.serving.search.snapshot import Snapshot
from framesift.serving.search.view import View

from ...waiting import until

MakeEntry = Callable[..., GalleryEntry]
TENSORS = [FRAME_EMBEDDINGS, MEAN_EMBEDDING]
LANES = {MEAN_EMBEDDING: 16}


@pytest.fixture(autouse=True)
def small_galleries_are_cached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "CACHED_BYTES", 1)


def content(view: View) -> dict[str, tuple[bytes, ...]]:
    """What a view holds by id, in the order of its rows."""
    live = np.delete(np.arange(len(view.timestamps)), view.dead)
    means = read_rows(view.tensors[MEAN_EMBEDDING], live)
    frames = view.tensors[FRAME_EMBEDDINGS][live]
    found = {
        view.ids[row]: (frames[place].tobytes(), means[place].tobytes(), view.timestamps[row].tobytes())
        for place, row in enumerate(live.tolist())
    }
    assert len(found) == view.count
    return found


def opened(gallery: Gallery, *, cache: bool = True) -> Snapshot:
    return Snapshot(gallery.reader(), TENSORS, LANES, cache=gallery.root / CACHE if cache else None)


def the_file(folder: Path) -> Path:
    """The cache's file, when it is there."""
    found = until(lambda: list((folder / CACHE).glob("*.rows")))
    until(lambda: not list((folder / CACHE).glob("*.part")))
    return found[0]


@pytest.fixture
def gallery(folder: Path, manifest: Manifest, make_entry: MakeEntry) -> Gallery:
    gallery = Gallery.open(folder, manifest)
    gallery.add([make_entry(f"v{n}") for n in reversed(range(50))])
    gallery.add([make_entry(f"v{n}", seed=1) for n in range(0, 50, 7)])
    gallery.remove(["v3"])
    return gallery


def mapped(gallery: Gallery) -> Snapshot:
    """As ``opened``, where no row of the cache may be read from the table."""

    def read(*_: object) -> None:
        raise AssertionError("the table was read")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loading, "_read", read)
        return opened(gallery)


def test_a_second_process_maps_what_the_first_has_loaded(gallery: Gallery, folder: Path) -> None:
    wanted = content(opened(gallery, cache=False).view)
    first = opened(gallery)
    assert content(first.view) == wanted
    the_file(folder)
    second = mapped(gallery)
    assert list(content(second.view)) == list(wanted)
    assert content(second.view) == wanted
    assert second.view.version == gallery.version


def test_what_changed_since_is_followed_and_stays_each_process_own(
    gallery: Gallery, folder: Path, make_entry: MakeEntry
) -> None:
    first = opened(gallery)
    raw = the_file(folder).read_bytes()
    for n in range(12):
        gallery.add([make_entry(f"new{n}")])
    gallery.remove(["v5", "new3"])
    gallery.add([make_entry("v6", seed=9)])
    gallery.compact()
    gallery.add([make_entry("last")])
    second = mapped(gallery)
    wanted = content(opened(gallery, cache=False).view)
    first.refresh()
    for found in (first, second):
        assert content(found.view) == wanted
        assert list(content(found.view)) == list(wanted)
    assert the_file(folder).read_bytes() == raw


def test_a_file_that_was_cut_or_changed_where_it_says_what_it_is_is_not_read(gallery: Gallery, folder: Path) -> None:
    wanted = content(opened(gallery).view)
    path, values = the_file(folder), random.Random(4)
    raw = path.read_bytes()
    end = Layout("", [], {}, 0).end
    rest = len(raw) - 200
    spoilt = [raw[:-1], raw + b"\0", raw[: len(raw) // 2], b"", raw[:end], os.urandom(len(raw))]
    # What is no number, what is larger than any, and what is nested deeper than a reader follows.
    for head in (b'{"room": Infinity}', b'{"room": 1e400, "size": 5}', b"[" * 4000, b'{"room": -1, "size": NaN}'):
        spoilt.append((raw.partition(b"\n")[0] + b"\n" + head).ljust(4096, b"\0") + raw[4096:])
    for _ in range(30):
        place = values.choice([values.randrange(250), values.randrange(rest, len(raw))])
        spoilt.append(raw[:place] + bytes([raw[place] ^ (1 << values.randrange(8))]) + raw[place + 1 :])
    for case in spoilt:
        path.unlink()
        path.write_bytes(case)
        assert content(opened(gallery).view) == wanted
        # It is made anew.
        deadline = time.monotonic() + 20
        while the_file(folder).read_bytes() != raw and time.monotonic() < deadline:
            time.sleep(0.01)
        if the_file(folder).read_bytes() != raw:
            assert content(opened(gallery).view) == wanted


def test_a_file_whose_rows_lie_in_parts_that_it_has_not_is_not_read(gallery: Gallery, folder: Path) -> None:
    wanted = content(opened(gallery).view)
    path = the_file(folder)
    raw = path.read_bytes()
    magic, _, told = raw.partition(b"\n")
    head = json.loads(told[: told.index(b"\0")])
    start = next(at for at in range(len(raw), 0, -1) if hashlib.sha256(raw[at:]).hexdigest() == head["digest"])
    first = start + 24 + int.from_bytes(raw[start : start + 8], "little")
    forged = bytearray(raw)
    forged[first : first + 4] = (1000).to_bytes(4, "little")
    head["digest"] = hashlib.sha256(forged[start:]).hexdigest()
    page = magic + b"\n" + json.dumps(head).encode()
    forged[: len(page)] = page
    path.unlink()
    path.write_bytes(forged)
    assert content(opened(gallery).view) == wanted


def test_another_model_s_or_scorer_s_file_is_another(gallery: Gallery, folder: Path) -> None:
    opened(gallery)
    the_file(folder)
    other = Snapshot(gallery.reader(), TENSORS, {}, cache=folder / CACHE)
    assert other.view.tensors[MEAN_EMBEDDING].shape == (49, 8)
    until(lambda: len(list((folder / CACHE).glob("*.rows"))) == 2)


def test_another_table_in_the_gallery_s_place_is_read_anew(
    gallery: Gallery, folder: Path, manifest: Manifest, make_entry: MakeEntry, tmp_path: Path
) -> None:
    running = opened(gallery)
    the_file(folder)
    with Gallery.open(tmp_path / "other", manifest) as other:
        other.add([make_entry(f"w{n}") for n in range(9)])
    (folder / "videos.lance").rename(tmp_path / "gone")
    (tmp_path / "other" / "videos.lance").rename(folder / "videos.lance")
    found = opened(Gallery.existing(folder))
    assert list(content(found.view)) == [f"w{n}" for n in range(9)]
    running.refresh()
    assert content(running.view) == content(found.view)


def test_what_a_killed_process_left_is_begun_anew_and_two_do_not_meet(gallery: Gallery, folder: Path) -> None:
    wanted = content(opened(gallery, cache=False).view)
    left = opened(gallery)
    path = the_file(folder)
    del left
    scratch = path.with_suffix(".part")
    path.rename(scratch)
    scratch.write_bytes(scratch.read_bytes()[:9000])
    assert content(opened(gallery).view) == wanted
    the_file(folder).unlink()
    kind = opened(gallery, cache=False)._kind
    building = Building(folder / CACHE, Layout(kind.key, kind.specs, kind.lanes, 70), 56)
    # Another process is at it: this one has its rows in memory alone.
    assert content(opened(gallery).view) == wanted
    assert not list((folder / CACHE).glob("*.rows"))
    building.close()
    assert not list((folder / CACHE).iterdir())


def test_a_folder_without_room_or_rights_does_without_a_cache(
    gallery: Gallery, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = content(opened(gallery, cache=False).view)
    (folder / CACHE).write_text("in the way")
    assert content(opened(gallery).view) == wanted
    (folder / CACHE).unlink()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    assert content(opened(gallery).view) == wanted
    assert not list((folder / CACHE).iterdir())


@pytest.mark.parametrize("cache", [True, False], ids=["mapped", "in memory"])
def test_a_large_gallery_is_swept_while_it_is_followed(
    folder: Path, manifest: Manifest, make_entry: MakeEntry, monkeypatch: pytest.MonkeyPatch, cache: bool
) -> None:
    monkeypatch.setattr(snapshot, "_BRIEF", 0)
    with Gallery.open(folder, manifest) as gallery:
        gallery.add([make_entry(f"v{n}") for n in range(1000)])
        running = opened(gallery, cache=cache)
        gallery.remove([f"v{n}" for n in range(300)])
        running.refresh()
        assert running.view.count == 700
        swept = False
        for n in range(300):
            gallery.add([make_entry(f"new{n}"), make_entry(f"v{n + 400}", seed=1)])
            gallery.remove([f"v{n + 701}"] if n < 200 else [f"new{n}"])
            if n >= 20:
                # Its thread may stand still for longer than all of this takes.
                until(lambda: running._sweep is None or running._sweep.done)
            running.refresh()
            assert running.view.count == 700
            if len(running.view.timestamps) < 1000:
                swept = True
                break
        assert swept
        running.refresh()
        assert content(running.view) == content(opened(gallery, cache=False).view)
        held = running.view
        before = content(held)
        if cache:
            the_file(folder)
            assert content(opened(gallery).view) == content(running.view)
        gallery.add([make_entry("further")])
        running.refresh()
        assert "further" in content(running.view)
        assert content(held) == before


def test_a_large_gallery_that_grows_out_of_its_room_is_copied_beside_the_searches(
    folder: Path, manifest: Manifest, make_entry: MakeEntry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot, "_BRIEF", 0)
    with Gallery.open(folder, manifest) as gallery:
        gallery.add([make_entry(f"v{n}") for n in range(100)])
        running = opened(gallery)
        room = running._rows.columns.room
        for start in range(0, 100, 10):
            gallery.add([make_entry(f"new{n}") for n in range(start, start + 10)])
            running.refresh()

        def copied() -> bool:
            running.refresh()
            return running._rows.columns.room > room

        until(copied)
        assert content(running.view) == content(opened(gallery, cache=False).view)


def test_a_flipped_bit_of_a_file_is_found_and_the_table_read_again(
    gallery: Gallery, folder: Path, manifest: Manifest
) -> None:
    wanted = content(opened(gallery).view)
    path = the_file(folder)
    raw = path.read_bytes()
    vector = np.ascontiguousarray(opened(gallery, cache=False).view.tensors[FRAME_EMBEDDINGS][20]).tobytes()
    place = raw.index(vector) + 5
    path.unlink()
    path.write_bytes(raw[:place] + bytes([raw[place] ^ 4]) + raw[place + 1 :])
    found = mapped(gallery)
    assert content(found.view) != wanted

    def mended() -> bool:
        found.refresh()
        return content(found.view) == wanted

    until(mended)
    # The next process finds a file that is whole.
    until(lambda: path.read_bytes() == raw)
    assert content(mapped(gallery).view) == wanted


def test_a_cache_that_cannot_be_written_to_is_done_without(
    gallery: Gallery, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = content(opened(gallery, cache=False).view)
    written = []

    def write(self: Building, name: str, start: int, rows: np.ndarray) -> None:
        written.append(name)
        raise OSError(5, "the disk is broken")

    monkeypatch.setattr(Building, "write", write)
    assert content(opened(gallery).view) == wanted
    assert written
    assert not list((folder / CACHE).iterdir())
