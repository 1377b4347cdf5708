"""The head of a real Ray cluster is killed: searches go on, the command says so, and then Ray ends everything."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from framesift.export.bundle.errors import ServerUnavailable
from framesift.export.bundle.manifest import Manifest
from framesift.export.bundle.ports import SCORER, TEXT_EMBEDDING
from framesift.serving.gallery.rows import GalleryEntry
from framesift.serving.gallery.schema import GallerySchema
from framesift.serving.gallery.shards import open_shards
from framesift.serving.shards import gallery_index, gallery_lookup, gallery_search
from framesift.serving.shards.directory import DEADLINE_VARIABLE, SHARDS_VARIABLE

from ...waiting import LIMIT_S, until
from ..toy_scorer import DIM, scorer_graph
from .beside import Kept

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
MakeEntry = Callable[..., GalleryEntry]
SHARDS, FILMS = 2, 6
# Ray's own is a minute. The command finds out in ten seconds or more, and then searches have to go on.
_GIVES_UP_S = 45
# The command's part, which ends with Ray's driver: not in this process.
_ACTORS = """
import json, sys, time
from pathlib import Path
from framesift.serving.shards.actors import Actors
from framesift.serving.shards.needs import Needs
told = json.loads(sys.argv[1])
sizes = {Path(folder): 1 << 20 for folder in told["folders"]}
files = {name: Path(told["version"], name).read_bytes() for name in told["names"]}
with Actors(told["address"], sizes, files, Path(told["directory"]), print, Needs()):
    print("ready", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def head() -> Iterator[Any]:
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_gcs_rpc_server_reconnect_timeout_s", str(_GIVES_UP_S))
        patch.setenv("RAY_worker_niceness", "0")
        node = {"num_cpus": SHARDS, "memory": 4 << 30, "object_store_memory": 80 << 20, "include_dashboard": False}
        found = Cluster(initialize_head=True, head_node_args=node)
        yield found
        found.shutdown()


def _text() -> dict[str, np.ndarray]:
    return {TEXT_EMBEDDING: np.full((1, DIM), DIM**-0.5, np.float32)}


def test_searches_go_on_until_ray_ends_all(
    head: Any, tmp_path: Path, manifest: Manifest, make_entry: MakeEntry, monkeypatch: pytest.MonkeyPatch
) -> None:
    version, directory = tmp_path / "version", tmp_path / "directory"
    version.mkdir()
    files = {"manifest.json": manifest.to_json().encode(), f"{SCORER}.onnx": scorer_graph().SerializeToString()}
    for name, content in files.items():
        (version / name).write_bytes(content)
    shards = open_shards(tmp_path / "shards", GallerySchema.of(manifest), SHARDS)
    told = {
        "address": head.address,
        "folders": [str(shard.root) for shard in shards],
        "version": str(version),
        "names": [*files],
        "directory": str(directory),
    }
    said = tmp_path / "said"
    with said.open("wb") as log:
        command = subprocess.Popen(
            [sys.executable, "-P", "-c", _ACTORS, json.dumps(told)], stdout=subprocess.PIPE, stderr=log, text=True
        )
    try:
        assert command.stdout is not None
        assert "ready\n" in iter(command.stdout.readline, ""), said.read_text()
        monkeypatch.setenv(SHARDS_VARIABLE, str(directory))
        monkeypatch.setenv(DEADLINE_VARIABLE, "30")
        kept = Kept(gallery_search.GallerySearch(), gallery_index.GalleryIndex(), gallery_lookup.GalleryLookup())
        for body in (kept.index, kept.lookup, kept.search):
            body.setup({}, version)
        kept.add([make_entry(f"film {number}") for number in range(FILMS)])
        kept.wait(_text())
        gcs, raylet = (head.head_node.all_processes[name][0].process for name in ("gcs_server", "raylet"))
        os.kill(gcs.pid, signal.SIGKILL)
        until(lambda: _found(kept) == FILMS and "the head of the Ray cluster is gone" in said.read_text())
        assert "Searches go on" in said.read_text()
        kept.add([make_entry("new")])
        kept.wait(_text())
        assert _found(kept) == FILMS + 1
        # Ray ends the command, its node and the actors.
        assert command.wait(LIMIT_S) != 0
        # A child of this process that nobody has buried counts as there to its workers.
        until(lambda: raylet.poll() is not None)
        until(lambda: _told(kept) == "shard 0/2 of the gallery does not answer")
        for body in (kept.index, kept.lookup, kept.search):
            body.finalize()
    finally:
        command.kill()
        command.wait()


def _found(kept: Kept) -> int:
    return len(kept.found(_text(), 100)[0][0])


def _told(kept: Kept) -> str:
    try:
        _found(kept)
    except ServerUnavailable as error:
        return str(error).partition(":")[0]
    return ""
