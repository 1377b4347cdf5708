"""What happens to shards: two servers over the same folders, a disk that is full, folders that are gone or others."""

from __future__ import annotations

import resource
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from framesift.export.bundle.errors import GalleryError, GalleryMismatch
from framesift.export.bundle.manifest import Manifest
from framesift.export.bundle.ports import SCORER, TEXT_EMBEDDING
from framesift.serving.gallery.rows import GalleryEntry
from framesift.serving.gallery.schema import GallerySchema
from framesift.serving.gallery.shard import Shard, part_of
from framesift.serving.gallery.shards import check_shard, open_shards
from framesift.serving.gallery.store import Gallery

from ...waiting import until
from ..toy_scorer import DIM, scorer_graph
from .beside import Kept, over_shards

MakeEntry = Callable[..., GalleryEntry]
SHARDS = 2


@pytest.fixture
def version(tmp_path: Path, manifest: Manifest) -> Path:
    folder = tmp_path / "version"
    folder.mkdir()
    (folder / "manifest.json").write_text(manifest.to_json())
    (folder / f"{SCORER}.onnx").write_bytes(scorer_graph().SerializeToString())
    return folder


@pytest.fixture
def doors(
    tmp_path: Path, version: Path, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Kept, Kept]]:
    """Two servers, each with shards of its own over the same folders."""
    (tmp_path / "shards").mkdir()
    with ExitStack() as stack:
        found = []
        for name in ("one", "other"):
            # Under a name of its own: a file beside it tells where its shards are.
            (tmp_path / name).symlink_to(tmp_path / "shards")
            over = over_shards(tmp_path / name, version, manifest, SHARDS, monkeypatch)
            found.append(stack.enter_context(over)[0])
        yield found[0], found[1]


def _text() -> dict[str, np.ndarray]:
    return {TEXT_EMBEDDING: np.full((1, DIM), DIM**-0.5, np.float32)}


def _of(shard: int) -> str:
    return next(f"own {n}" for n in range(99) if part_of(f"own {n}", SHARDS) == shard)


def test_two_servers_write_by_turns_and_show_the_same(doors: tuple[Kept, Kept], make_entry: MakeEntry) -> None:
    faults: list[BaseException] = []

    def write(number: int, kept: Kept) -> None:
        try:
            for each in range(12):
                # Half of them both write.
                kept.add([make_entry(f"{'both' if each % 2 else number} {each}")])
                kept.wait(_text())
                assert f"{'both' if each % 2 else number} {each}" in kept.found(_text(), 100)[0][0]
            kept.change({f"{number} 0": {"delete": True}})
        except BaseException as error:
            faults.append(error)

    threads = [threading.Thread(target=write, args=pair) for pair in enumerate(doors)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    last = max(kept.version for kept in doors)
    for kept in doors:
        kept.version = last
        kept.wait(_text())
    wanted = {f"both {each}" for each in range(1, 12, 2)} | {f"{n} {each}" for n in (0, 1) for each in range(2, 12, 2)}

    def alike() -> bool:
        found = [kept.found(_text(), 100, facts=True) for kept in doors]
        return found[0] == found[1] and sorted(found[0][0][0]) == sorted(wanted)

    # What the other has shown it may show a poll later.
    until(alike)


@contextmanager
def _full() -> Iterator[None]:
    """No file of this process grows, as on a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_where_the_disk_is_full_writes_fail_and_searches_do_not(
    doors: tuple[Kept, Kept], make_entry: MakeEntry
) -> None:
    kept = doors[0]
    kept.add([make_entry(f"film {number}") for number in range(6)])
    kept.wait(_text())
    whole = kept.found(_text(), 100)
    with _full():
        with pytest.raises(GalleryError, match=r"writing to the gallery in .*shard-1 failed: .*File too large"):
            kept.add([make_entry(_of(1))])
        with pytest.raises(GalleryError, match=r"writing to the gallery in .* failed"):
            kept.change({"film 0": {"delete": True}})
        assert kept.found(_text(), 100) == whole
    kept.add([make_entry(_of(0)), make_entry(_of(1))])
    kept.wait(_text())
    assert len(kept.found(_text(), 100)[0][0]) == 8


def test_where_a_folder_is_gone_writes_fail_and_what_is_in_memory_is_found(
    doors: tuple[Kept, Kept], make_entry: MakeEntry, tmp_path: Path
) -> None:
    kept = doors[0]
    kept.add([make_entry(f"film {number}") for number in range(6)])
    kept.wait(_text())
    whole = kept.found(_text(), 100)
    aside = (tmp_path / "shards" / "shard-1").rename(tmp_path / "aside")
    with pytest.raises(GalleryError, match="the gallery can't be locked: .*shard-1"):
        kept.add([make_entry(_of(1))])
    assert not (tmp_path / "shards" / "shard-1").exists()
    kept.add([make_entry(_of(0))])
    assert set(kept.found(_text(), 100)[0][0]) >= set(whole[0][0])
    aside.rename(tmp_path / "shards" / "shard-1")
    kept.add([make_entry(_of(1))])
    kept.wait(_text())
    assert len(kept.found(_text(), 100)[0][0]) == 8


def test_shards_that_are_missing_or_others_are_refused(tmp_path: Path, manifest: Manifest) -> None:
    root, schema = tmp_path / "gallery", GallerySchema.of(manifest)
    open_shards(root, schema, SHARDS)
    other = replace(manifest, fingerprint="another")
    with pytest.raises(GalleryMismatch, match="written by the model .*this model is another"):
        open_shards(root, GallerySchema.of(other))
    with pytest.raises(GalleryError, match="has 2 shards, not 5: `framesift gallery split` makes another number"):
        open_shards(root, schema, 5)
    one = root / "shard-1"
    kept = one.rename(tmp_path / "kept")
    with pytest.raises(GalleryError, match="there is no gallery in .*shard-1"):
        open_shards(root, schema)
    assert not one.exists()
    Gallery.open(tmp_path / "whole", manifest)
    shutil.copytree(tmp_path / "whole", one)
    with pytest.raises(GalleryError, match="shard-1 is a whole gallery, not shard 1/2 of one"):
        open_shards(root, schema)
    shutil.rmtree(one)
    open_shards(tmp_path / "foreign", GallerySchema.of(other), SHARDS)
    shutil.copytree(tmp_path / "foreign" / "shard-1", one)
    with pytest.raises(GalleryMismatch, match="shard-1 holds records of another model"):
        open_shards(root, schema)
    shutil.rmtree(one)
    kept.rename(one)
    with pytest.raises(GalleryError, match="shard-1 is 1/2, not shard 1/3 of one"):
        check_shard(Gallery.existing(one), Shard(1, 3))
    for note, said in (
        ('{"shards": 2, "versions": [0, 0], "format": 2}', "has format 2, this framesift reads 1"),
        ('{"shards": 3, "versions": [0, 0, 0], "format": 1}', "shard-0 is 0/2, not shard 0/3 of one|no gallery"),
        ('{"shards": 2', "can't be read"),
        ("[]", "can't be read"),
        ('{"shards": 2000, "versions": [], "format": 1}', "has 1 to 256 shards, not 2000"),
    ):
        (root / "shards.json").write_text(note)
        with pytest.raises(GalleryError, match=said):
            open_shards(root, schema)
