"""The file that says where shards are: kept though a disk is full or somebody tidies up, and missing for a while."""

from __future__ import annotations

import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from framesift.export.bundle.errors import GalleryError, ServerError, ServerUnavailable
from framesift.export.bundle.manifest import Manifest
from framesift.export.bundle.ports import SCORER, TEXT_EMBEDDING
from framesift.serving.gallery.rows import GalleryEntry
from framesift.serving.shards import gallery_search, herald
from framesift.serving.shards.directory import Directory
from framesift.serving.shards.herald import Herald
from framesift.serving.shards.service import Service

from ...waiting import until
from ..toy_scorer import DIM, scorer_graph
from .beside import SECRET, Kept, beside

MakeEntry = Callable[..., GalleryEntry]


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Herald, Path]]:
    """A herald of two shards with two replicas each, and its file."""
    monkeypatch.setattr(herald, "_LOOK_S", 0.2)
    path = tmp_path / "run" / "shards.json"
    path.parent.mkdir()
    made = Herald(path, SECRET, 2, 2)
    for actor, shard in enumerate((0, 0, 1, 1)):
        made.is_at(shard, actor, f"10.0.0.{actor}:1")
    made.begin()
    yield made, path
    made.end()


def test_whoever_came_back_stands_behind_those_that_stayed(told: tuple[Herald, Path]) -> None:
    herald, path = told
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    herald.is_gone(1, 2)
    until(lambda: Directory.read(path).addresses[1] == ["10.0.0.3:1"])
    herald.cannot(1, GalleryError("there is no gallery"))
    until(lambda: Directory.read(path).faults == {1: "there is no gallery"})
    herald.is_at(1, 2, "10.0.0.9:1")
    last = [["10.0.0.0:1", "10.0.0.1:1"], ["10.0.0.3:1", "10.0.0.9:1"]]
    until(lambda: Directory.read(path) == Directory(SECRET, last, 2))


def test_a_file_that_is_gone_or_can_not_be_written_is_written_later(told: tuple[Herald, Path]) -> None:
    herald, path = told
    path.unlink()
    until(path.exists)
    # Nothing can be written there.
    aside = path.parent.rename(path.parent.with_name("aside"))
    herald.is_gone(0, 0)
    time.sleep(0.5)
    aside.rename(path.parent)
    until(lambda: path.exists() and Directory.read(path).addresses[0] == ["10.0.0.1:1"])


def test_a_file_that_can_not_be_written_at_the_start_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ServerError, match="where the shards answer can't be written"):
        Herald(tmp_path / "absent" / "shards.json", SECRET, 1, 1).begin()


@pytest.fixture
def together(
    manifest: Manifest, tmp_path: Path, make_entry: MakeEntry, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Kept, list[Service]]]:
    files = {f"{SCORER}.onnx": scorer_graph().SerializeToString()}
    with beside(tmp_path, manifest, files, 2, monkeypatch) as (_, found, services):
        found.add([make_entry(f"film {number}") for number in range(6)])
        found.wait(_text())
        yield found, services


def _text() -> dict[str, np.ndarray]:
    return {TEXT_EMBEDDING: np.full((1, DIM), DIM**-0.5, np.float32)}


def test_searches_go_on_without_the_file(together: tuple[Kept, list[Service]], tmp_path: Path) -> None:
    kept, services = together
    path = tmp_path / "directory of shards"
    whole = kept.found(_text(), 20)
    for damaged in (None, b"", b"[]", b'{"secret": 1}'):
        path.unlink()
        if damaged is not None:
            path.write_bytes(damaged)
        for _ in range(2):
            assert kept.found(_text(), 20) == whole
        # A model that is started now does not know where to ask.
        with pytest.raises(ServerError, match="where the shards answer is not known, start the server again"):
            gallery_search.GallerySearch().setup({}, tmp_path / "version")
        path.touch()
    path.unlink()
    services[0].close()
    with pytest.raises(ServerUnavailable, match="shard 0/2 of the gallery does not answer"):
        kept.found(_text(), 20)


def test_a_shard_that_can_not_be_searched_says_why(together: tuple[Kept, list[Service]], tmp_path: Path) -> None:
    kept, services = together
    for faults, said in (({}, "is being started"), ({1: "there is no gallery in x"}, "can't be searched: there is no")):
        Directory(SECRET, [[f"127.0.0.1:{services[0].port}"], []], 1, faults).write(tmp_path / "directory of shards")
        with pytest.raises(ServerUnavailable, match=f"shard 1/2 of the gallery {said}"):
            kept.found(_text(), 20)
        with pytest.raises(ServerUnavailable, match=f"shard 1/2 of the gallery {said}"):
            kept.change({f"film {number}": {"delete": True} for number in range(6)})
