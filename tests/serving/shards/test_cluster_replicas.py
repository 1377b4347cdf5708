"""Replicas as actors of a real Ray cluster of two nodes: searches go on while one, or a node, is killed.

The models' bodies are in this process, so that nothing has to be served.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from framesift.export.bundle.errors import FramesiftError, ServerStartError, ServerUnavailable
from framesift.export.bundle.manifest import Manifest
from framesift.export.bundle.packing import unpack_joined
from framesift.export.bundle.ports import DETAILS, ID_LENGTHS, IDS, SCORER, TEXT_EMBEDDING
from framesift.serving.gallery.rows import GalleryEntry
from framesift.serving.gallery.schema import GallerySchema
from framesift.serving.gallery.shard import part_of
from framesift.serving.gallery.shards import open_shards
from framesift.serving.gallery.store import Gallery
from framesift.serving.indexing.ray_cluster import connect
from framesift.serving.shards import gallery_index, gallery_lookup, gallery_search
from framesift.serving.shards.actors import Actors
from framesift.serving.shards.directory import DEADLINE_VARIABLE, SHARDS_VARIABLE
from framesift.serving.shards.needs import Needs, check_gpus

from ...waiting import until
from ..toy_scorer import DIM, scorer_graph
from .actors_there import actors
from .beside import Kept, one
from .beside import request as asked
from .replicas import all_follow

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
SHARDS, CLIENTS, FILMS = 2, 4, 12
MakeEntry = Callable[..., GalleryEntry]


@pytest.fixture(scope="module")
def nodes() -> Iterator[Any]:
    from ray.cluster_utils import Cluster as Nodes

    node = {"num_cpus": 2 * SHARDS, "memory": 6 << 30, "object_store_memory": 80 << 20}
    # Ray believes that there is a GPU.
    found = Nodes(initialize_head=True, head_node_args={**node, "num_gpus": 1, "include_dashboard": False})
    found.second = found.add_node(**node)
    yield found
    found.shutdown()


@pytest.fixture
def kept(
    request: pytest.FixtureRequest,
    nodes: Any,
    tmp_path: Path,
    manifest: Manifest,
    make_entry: MakeEntry,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Kept]:
    """A gallery in two shards, each of so many actors."""
    folder = tmp_path / "version"
    folder.mkdir()
    files = {"manifest.json": manifest.to_json().encode(), f"{SCORER}.onnx": scorer_graph().SerializeToString()}
    for name, content in files.items():
        (folder / name).write_bytes(content)
    sizes = {shard.root: 1 << 20 for shard in open_shards(tmp_path / "shards", GallerySchema.of(manifest), SHARDS)}
    directory = tmp_path / "directory"
    monkeypatch.setenv(SHARDS_VARIABLE, str(directory))
    monkeypatch.setenv(DEADLINE_VARIABLE, "30")
    with Actors(nodes.address, sizes, files, directory, print, Needs(replicas=request.param)):
        found = Kept(gallery_search.GallerySearch(), gallery_index.GalleryIndex(), gallery_lookup.GalleryLookup())
        for body in (found.index, found.lookup, found.search):
            body.setup({}, folder)
        found.add([make_entry(f"film {number}") for number in range(FILMS)])
        found.wait(_text())
        _all_follow(tmp_path)
        yield found
        for body in (found.index, found.lookup, found.search):
            body.finalize()


def _all_follow(folder: Path) -> None:
    """Wait until nobody sees less than anybody else, and writers are told who writes."""
    until(lambda: all_follow(folder / "directory", folder / "shards"), pause_s=0.2)


def _text() -> dict[str, np.ndarray]:
    return {TEXT_EMBEDDING: np.full((1, DIM), DIM**-0.5, np.float32)}


class Load:
    """Clients that search all the time, with models of their own; ids of what they found, missing shards or errors."""

    def __init__(self, folder: Path) -> None:
        self.partial: list[tuple[set[str], set[int]]] = []
        self.strict: list[set[str] | str] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._search, args=[folder], daemon=True) for _ in range(CLIENTS)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        self.go_on()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def go_on(self) -> None:
        """Let all of them search some more."""
        before = len(self.partial)
        until(lambda: len(self.partial) > before + 4 * CLIENTS)

    def _search(self, folder: Path) -> None:
        body = gallery_search.GallerySearch()
        body.setup({}, folder)
        own = Kept(body, body, body)
        while not self._stop.is_set():
            try:
                self.strict.append(set(own.found(_text(), 100)[0][0]))
            except FramesiftError as error:
                self.strict.append(str(error))
            answer = one(body.run([asked(_text(), 100, partial=True)]))
            told = json.loads(answer[DETAILS][0].tobytes().rstrip(b"\0"))
            ids = set(unpack_joined(answer[IDS][0], answer[ID_LENGTHS][0], IDS))
            self.partial.append((ids, {int(name.partition("/")[0]) for name in told["missing"]}))
        body.finalize()


def _pids() -> set[int]:
    return {actor.pid for actor in actors()}


def _kill_one() -> None:
    victim = actors()[0]
    os.kill(victim.pid, signal.SIGKILL)
    until(lambda: victim.pid not in _pids())


@pytest.mark.skipif(bool(shutil.which("nvidia-smi")), reason="there may be a GPU")
def test_actors_for_which_there_is_no_gpu_are_refused(nodes: Any, tmp_path: Path, topk_manifest: Manifest) -> None:
    with Gallery.open(tmp_path / "gallery", topk_manifest) as gallery:
        sizes = {gallery.root: 0}
    files = {"manifest.json": topk_manifest.to_json().encode()}
    ray = connect(nodes.address)
    try:
        check_gpus(ray, Needs(gpus=0.5), 2)
        with pytest.raises(ServerUnavailable, match="2 actors of shards take 2 GPUs, this machine has 1"):
            check_gpus(ray, Needs(gpus=1.0), 2)
    finally:
        ray.shutdown()
    # Its node finds out.
    with pytest.raises(ServerStartError, match="nvidia-smi finds none on this node"):
        Actors(nodes.address, sizes, files, tmp_path / "directory", print, Needs(gpus=1.0))


def _lost_one(kept: Kept, make_entry: MakeEntry, folder: Path) -> tuple[list[str], list[set[int]]]:
    """What searches told while an actor was killed, refusals and missing shards; all are there afterwards."""
    whole, count = {f"film {number}" for number in range(FILMS)}, len(actors())
    with Load(folder / "version") as load:
        _kill_one()
        if count == SHARDS:
            until(lambda: any(missing for _, missing in [*load.partial]))
            until(lambda: any(isinstance(told, str) for told in [*load.strict]))
        until(lambda: len(actors()) == count)
        _all_follow(folder)
        load.go_on()
    for found, missing in load.partial:
        assert found == {id_ for id_ in whole if part_of(id_, SHARDS) not in missing}
    assert all(told == whole for told in load.strict if not isinstance(told, str))
    for shard in range(SHARDS):
        kept.add([make_entry(next(f"new {n}" for n in range(99) if part_of(f"new {n}", SHARDS) == shard))])
    kept.wait(_text())
    assert len(kept.found(_text(), 100)[0][0]) == FILMS + SHARDS
    return [told for told in load.strict if isinstance(told, str)], [missing for _, missing in load.partial if missing]


@pytest.mark.parametrize("kept", [1], indirect=True, ids=["one of each"])
def test_a_killed_actor_that_is_the_only_one_of_its_shard_is_told_of(
    kept: Kept, make_entry: MakeEntry, tmp_path: Path
) -> None:
    refused, _ = _lost_one(kept, make_entry, tmp_path)
    assert all("of the gallery" in told and "`partial`" in told for told in refused)


@pytest.mark.parametrize("kept", [2], indirect=True, ids=["two of each"])
def test_where_there_are_two_of_each_nobody_notices_that_one_is_lost_or_a_node(
    kept: Kept, nodes: Any, make_entry: MakeEntry, tmp_path: Path
) -> None:
    assert sorted(Counter(psutil.Process(actor.pid).ppid() for actor in actors()).values()) == [SHARDS, SHARDS]
    assert _lost_one(kept, make_entry, tmp_path) == ([], [])
    _all_follow(tmp_path)
    whole, before = set(kept.found(_text(), 100)[0][0]), _pids()
    with Load(tmp_path / "version") as load:
        nodes.remove_node(nodes.second, allow_graceful=False)
        until(lambda: len(_pids()) == 2 * SHARDS and len(_pids() - before) == SHARDS)
        _all_follow(tmp_path)
        load.go_on()
    assert all(told == whole for told in load.strict)
    assert all(found == whole and not missing for found, missing in load.partial)
