"""Films of a few seconds in a folder, and the command that indexes them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

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
