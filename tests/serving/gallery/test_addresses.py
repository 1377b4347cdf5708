"""A gallery lies in a folder of this machine, and an address of another is refused wherever one is named."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from framesift.__main__ import main
from framesift.export.bundle.errors import GalleryError
from framesift.export.bundle.manifest import Manifest
from framesift.export.bundle.models import GALLERY_VARIABLE
from framesift.serving.gallery.environment import gallery_from_env
from framesift.serving.gallery.store import Gallery

ADDRESSES = ["s3://bucket/films", "gs://bucket/films", "az://films", "hf://films", "file:///films", "s3+ddb://bucket/x"]


@pytest.mark.parametrize("address", ADDRESSES)
def test_an_address_is_refused_with_a_word_on_why(
    address: str, manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    # pathlib takes one of the slashes away.
    for path in (address, Path(address)):
        with pytest.raises(GalleryError, match="is an address and a gallery needs a folder of this machine"):
            Gallery.open(path, manifest)
        with pytest.raises(GalleryError, match="is an address"):
            Gallery.existing(path)
    monkeypatch.setenv(GALLERY_VARIABLE, address)
    with pytest.raises(GalleryError, match="is an address"):
        gallery_from_env(manifest)
    assert not list(tmp_path.iterdir())


def test_every_command_refuses_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for command in (["info"], ["verify"], ["remove"], ["compact"], ["stats"], ["export"], ["import"]):
        args = [
            "gallery",
            *command,
            "s3://bucket/films",
            *(["x"] if command[0] in ("remove", "export", "import") else []),
        ]
        result = CliRunner().invoke(main, args)
        assert result.exit_code == 1, (args, result.output)
        assert "is an address" in result.stderr, result.output
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["a b", "C:", "12:30/x", "it's:fine"])
def test_a_folder_of_this_machine_may_have_a_colon(name: str, tmp_path: Path, manifest: Manifest) -> None:
    Gallery.open(tmp_path / name, manifest).close()
    assert (tmp_path / name / "videos.lance").is_dir()
