"""The commands that work on a gallery's folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from framesift.__main__ import main
from framesift.export.bundle.manifest import Manifest
from framesift.serving.gallery.rows import GalleryEntry
from framesift.serving.gallery.store import Gallery

MakeEntry = Callable[..., GalleryEntry]


@pytest.fixture
def gallery(folder: Path, manifest: Manifest, make_entry: MakeEntry) -> Gallery:
    gallery = Gallery.open(folder, manifest)
    gallery.add([make_entry(name) for name in ("a", "b c", "d")])
    return gallery


def _run(*args: object) -> Result:
    return CliRunner().invoke(main, ["gallery", *map(str, args)])


def test_info_shows_whose_records_and_how_many(gallery: Gallery, folder: Path) -> None:
    result = _run("info", folder)
    assert result.exit_code == 0
    facts = dict(line.split(maxsplit=1) for line in result.stdout.splitlines())
    assert facts["videos"] == "3"
    assert facts["version"] == str(gallery.version)
    assert facts["model"] == "model-a (dong2026)"
    assert facts["record"] == "frame_embeddings [3, 8], mean_embedding [8]"


def test_remove_removes_what_is_there_and_names_what_is_not(gallery: Gallery, folder: Path) -> None:
    result = _run("remove", folder, "b c", "d", "e")
    assert result.exit_code == 1
    assert result.stdout == "2 removed, 1 left\n"
    assert "not in the gallery: e" in result.stderr
    assert gallery.lookup(["a", "b c", "d"]).digests.keys() == {"a"}
    assert _run("remove", folder, "a").exit_code == 0


def test_a_folder_without_a_gallery_is_an_error_without_a_traceback(tmp_path: Path) -> None:
    for args in (("info", tmp_path), ("remove", tmp_path, "a")):
        result = _run(*args)
        assert result.exit_code == 1
        assert result.stderr == f"Error: there is no gallery in {tmp_path}\n"


@pytest.mark.parametrize("command", ["info", "remove"])
def test_help_ends_with_what_can_be_run(command: str) -> None:
    assert f"framesift gallery {command} " in _run(command, "--help").stdout.partition("Example:")[2]
