"""The demo bundle and one running server, shared by all tests that need them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import pytest

from framesift.export.bundle.store import Bundle

from .exporting import built_once


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long tests first, so that two processes end together; files that need the demo's bundle behind those that don't.

    Else both processes would begin with waiting for the one that exports it.
    """
    exported = {item.path for item in items if "bundle" in getattr(item, "fixturenames", ())}
    items.sort(key=lambda item: (item.get_closest_marker("long") is None, item.path in exported))


@pytest.fixture(scope="session")
def demo_checkpoint() -> Path:
    return Path(str(files("framesift.export.demo") / "demo.safetensors"))


@pytest.fixture(scope="session")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for what is exported once for all tests: see ``built_once``."""
    # Tests that run in several processes share it: their temporary folders have one parent. `make test` runs twice.
    parallel = "PYTEST_XDIST_WORKER" in os.environ
    own = tmp_path_factory.getbasetemp().parent if parallel else tmp_path_factory.mktemp("bundles")
    return Path(os.environ.get("FRAMESIFT_TEST_BUNDLES", own))


@pytest.fixture(scope="session")
def bundle(demo_checkpoint: Path, bundles: Path) -> Bundle:
    """The demo checkpoint, exported: real graphs, compared with eager float64 while they are made."""
    from framesift.export.build import build_bundle

    return built_once(bundles / "demo", lambda out: build_bundle(demo_checkpoint, out, options={}))


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list:
    """Twenty-four real H.264 files with captions, two hard negatives in a run."""
    from framesift.export.corpus.generate import write_corpus

    return write_corpus(tmp_path_factory.mktemp("videos"), 24, "test", 3)


@pytest.fixture(scope="session")
def gallery_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("galleries") / "demo"


@pytest.fixture(scope="session")
def server(bundle: Bundle, gallery_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator:
    """A real Triton server with the demo bundle and the page, on free ports of 127.0.0.1."""
    from framesift.serving.serve import running
    from framesift.serving.server.door import Reach

    reach = Reach(page=True, videos=tmp_path_factory.getbasetemp())
    with running(bundle, gallery_folder, reach, hang_after_s=15) as embedded:
        yield embedded


@pytest.fixture
def client(server) -> Iterator:
    from framesift.serving.client.sync import Client

    with Client(server.address) as opened:
        yield opened


@pytest.fixture(scope="session")
def indexed(server, clips: list) -> list:
    """The clips, in the served gallery."""
    from framesift.serving.client.sync import Client

    with Client(server.address) as opened:
        for clip in clips:
            last = opened.index(clip.video, id=clip.video.name)
        opened.wait_searchable(last, 120)
    return clips
