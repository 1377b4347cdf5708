"""Films of a few seconds in a folder, and the command that indexes them."""

from __future__ import annotations

import http.server
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from framesift.__main__ import main
from framesift.export.bundle.store import Bundle

Run = Callable[..., Result]
FILMS = 6


@pytest.fixture
def films(clips: list, tmp_path: Path) -> Path:
    folder = tmp_path / "films"
    (folder / "old").mkdir(parents=True)
    for place, clip in enumerate(clips[:FILMS]):
        shutil.copyfile(clip.video, folder / ("old" if place % 2 else "") / f"{place}.mp4")
    return folder


class _Handler(http.server.SimpleHTTPRequestHandler):
    def __init__(self, *arguments: Any, first: Callable[[], object], **options: Any) -> None:
        self._first = first
        super().__init__(*arguments, **options)

    def do_GET(self) -> None:
        self._first()
        super().do_GET()


@contextmanager
def website(folder: Path, first: Callable[[], object] = lambda: None) -> Iterator[str]:
    """The address of a web server that has the files of a folder, and does something first for whoever asks."""
    handler = partial(_Handler, directory=str(folder), first=first)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@pytest.fixture
def index(bundle: Bundle, films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """``framesift index`` without a server into the gallery "gallery" below the current folder, with two processes."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def run(*arguments: object, gallery: str = "gallery") -> Result:
        options = ["--bundle", bundle.root, "--gallery", gallery]
        if "--jobs" not in arguments:
            options += ["--jobs", 2]
        return CliRunner().invoke(main, ["index", *map(str, [*arguments, *options])])

    return run
