"""Which files a command line names."""

from __future__ import annotations

from pathlib import Path

import pytest

from framesift.export.bundle.errors import InvalidRequest
from framesift.serving.client.discover import IdFrom, discover


@pytest.fixture
def films(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in (
        "b.mp4",
        "a.MKV",
        "notes.txt",
        "old/c.avi",
        "old/deep er/d é.webm",
        "old/b.mp4",
        "x.mov.part",
    ):
        path = tmp_path / "films" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path / "films"


@pytest.mark.parametrize("slash", ["", "/"])
def test_a_folder_stands_for_its_videos_at_any_depth(films: Path, slash: str) -> None:
    found = discover([f"films{slash}"])
    assert [file.id for file in found] == ["a.MKV", "b.mp4", "old/b.mp4", "old/c.avi", "old/deep er/d é.webm"]
    assert all((films / file.id).samefile(file.path) for file in found)


def test_a_file_of_any_kind_is_taken_as_it_is_named(films: Path) -> None:
    assert [file.id for file in discover(["films/notes.txt", "./films//old/../b.mp4"])] == [
        "films/notes.txt",
        "films/b.mp4",
    ]
    assert [file.id for file in discover([str(films / "b.mp4")])] == [(films / "b.mp4").as_posix()]


@pytest.mark.parametrize(
    ("pattern", "ids"),
    [
        ("films/*.mp4", ["films/b.mp4"]),
        ("films/*", ["films/a.MKV", "films/b.mp4"]),
        ("films/**/*.mp4", ["films/b.mp4", "films/old/b.mp4"]),
        ("films/old/?.avi", ["films/old/c.avi"]),
    ],
)
def test_a_glob_stands_for_the_videos_it_matches(films: Path, pattern: str, ids: list[str]) -> None:
    assert [file.id for file in discover([pattern])] == ids


@pytest.mark.parametrize(
    ("id_from", "ids"),
    [("path", ["c.avi", "deep er/d é.webm"]), ("name", ["c.avi", "d é.webm"]), ("stem", ["c", "d é"])],
)
def test_ids_come_from_what_was_asked_for(films: Path, id_from: IdFrom, ids: list[str]) -> None:
    (films / "old" / "b.mp4").unlink()
    assert [file.id for file in discover(["films/old"], id_from)] == ids


def test_a_file_named_twice_is_taken_once(films: Path) -> None:
    assert len(discover(["films/old", "films/old/", "films/old"])) == 3


def test_two_files_with_one_id_are_refused(films: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"films/b\.mp4 and films/old/b\.mp4 would both get the id 'b\.mp4'"):
        discover(["films"], "name")
    with pytest.raises(InvalidRequest, match="would both get the id"):
        discover(["films", "films/old"])


@pytest.mark.parametrize(
    ("name", "said"),
    [("nowhere", "no such file or folder"), ("films/*.wmv", "no such file or folder"), ("empty", "no video")],
)
def test_a_name_that_stands_for_nothing_is_refused(films: Path, name: str, said: str) -> None:
    with pytest.raises(InvalidRequest, match=said):
        discover(["films", name])


def test_a_file_whose_name_can_not_be_an_id_is_refused(films: Path) -> None:
    (films / "two\nlines.mp4").touch()
    with pytest.raises(InvalidRequest, match="control character"):
        discover(["films"])
