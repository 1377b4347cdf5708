"""A bundle, a gallery, a current folder and a TMPDIR whose paths hold letters beyond ASCII."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest

from framesift import Client
from framesift.export.bundle.errors import ServerStartError
from framesift.export.bundle.store import Bundle
from framesift.serving.serve import running
from framesift.serving.server import temporary
from framesift.serving.server.temporary import faults, temporary_root


@pytest.mark.server
def test_letters_beyond_ascii_are_served(
    bundle: Bundle, clips: list, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "cwdü ☃"
    for folder in (here / "tmpé", here / "vidéos"):
        folder.mkdir(parents=True)
    shutil.copytree(bundle.root, here / "bündel")
    shutil.copyfile(clips[0].video, here / "vidéos" / "fïlm ☃.mp4")
    monkeypatch.chdir(here)
    monkeypatch.setenv("TMPDIR", str(here / "tmpé"))
    monkeypatch.setattr(tempfile, "tempdir", None)
    with running(Bundle.open(Path("bündel")), Path("gäl")) as server, Client(server.address) as client:
        indexed = client.index("vidéos/fïlm ☃.mp4")
        client.wait_searchable(indexed)
        assert [hit.id for hit in client.search("a red circle").hits] == ["fïlm ☃.mp4"]
        assert client.served().gallery == str(here / "gäl")
    assert (here / "gäl" / "videos.lance").is_dir()
    assert list((here / "tmpé").iterdir()) == []


@pytest.mark.parametrize(
    ("path", "bad"), [("/srv/a_b-1.0", []), ("/srv/a b", [" "]), ("/srv/ü", ["ü"]), ("/a$(b)", ["$", "(", ")"])]
)
def test_what_triton_server_can_not_use_is_known(path: str, bad: list[str]) -> None:
    assert faults(path) == bad


def test_another_temporary_folder_is_taken_where_tmpdir_can_not_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ü").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "ü"))
    assert faults(temporary_root()) == []
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert temporary_root() == str(tmp_path.resolve())
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "ü"))
    monkeypatch.setattr(temporary, "_OTHERS", (str(tmp_path / "absent"),))
    with pytest.raises(ServerStartError, match="set TMPDIR to a folder that can be written"):
        temporary_root()
