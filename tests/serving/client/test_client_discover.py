"""Which files a command line names."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from framesift.export.bundle.checks import FEATURE_SUFFIXES
from framesift.export.bundle.errors import InvalidRequest
from framesift.serving.client.discover import IMAGE_SUFFIXES, VIDEO_SUFFIXES, IdFrom, Named, discover
from framesift.serving.client.printable import printable


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
    found = discover([f"films{slash}"]).videos
    assert [file.id for file in found] == ["a.MKV", "b.mp4", "old/b.mp4", "old/c.avi", "old/deep er/d é.webm"]
    assert all((films / file.id).samefile(file.path) for file in found)


def test_a_file_of_any_kind_is_taken_as_it_is_named(films: Path) -> None:
    assert [file.id for file in discover(["films/notes.txt", "./films//old/../b.mp4"]).videos] == [
        "notes.txt",
        "b.mp4",
    ]


@pytest.mark.parametrize(
    ("pattern", "ids"),
    [
        ("films/*.mp4", ["b.mp4"]),
        ("films/*", ["a.MKV", "b.mp4"]),
        ("films/**/*.mp4", ["b.mp4", "old/b.mp4"]),
        ("films/old/?.avi", ["c.avi"]),
        ("f*/old/c.*", ["films/old/c.avi"]),
    ],
)
def test_a_glob_stands_for_the_videos_it_matches(films: Path, pattern: str, ids: list[str]) -> None:
    assert [file.id for file in discover([pattern]).videos] == ids


@pytest.mark.parametrize(
    ("id_from", "ids"),
    [("path", ["c.avi", "deep er/d é.webm"]), ("name", ["c.avi", "d é.webm"]), ("stem", ["c", "d é"])],
)
def test_ids_come_from_what_was_asked_for(films: Path, id_from: IdFrom, ids: list[str]) -> None:
    (films / "old" / "b.mp4").unlink()
    assert [file.id for file in discover(["films/old"], id_from).videos] == ids


def test_a_file_named_twice_is_taken_once(films: Path) -> None:
    assert len(discover(["films/old", "films/old/", "films/old"]).videos) == 3


def test_two_files_with_one_id_are_refused(films: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"films/b\.mp4 and films/old/b\.mp4 would both get the id 'b\.mp4'"):
        discover(["films"], "name")
    with pytest.raises(InvalidRequest, match="would both get the id"):
        discover(["films", "films/old"])


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nowhere", "no such file or folder"),
        ("films/*.wmv", "no video fits.*--images takes images, too"),
        ("empty", "no video in it"),
    ],
)
def test_a_name_that_stands_for_nothing_is_refused(films: Path, name: str, said: str) -> None:
    with pytest.raises(InvalidRequest, match=said):
        discover(["films", name])


@pytest.mark.parametrize("name", ["films", "films/old/c.avi", "films/**/*.mp4", "films/o*/*.avi"])
def test_an_id_is_the_same_whatever_the_current_folder_is(films: Path, name: str, monkeypatch: Any) -> None:
    ids = [file.id for file in discover([name]).videos]
    assert [file.id for file in discover([str(films.parent / name)]).videos] == ids
    monkeypatch.chdir(films)
    relative = name.removeprefix("films/") if "/" in name else "."
    assert [file.id for file in discover([relative]).videos] == ids


def test_what_is_hidden_is_left_out_unless_it_is_named(films: Path) -> None:
    hidden = ("._b.mp4", ".Trash-1000/files/x.mp4", "old/@eaDir/x.mp4", "__MACOSX/x.mp4", "$RECYCLE.BIN/x.mp4")
    for name in hidden:
        (films / name).parent.mkdir(parents=True, exist_ok=True)
        (films / name).touch()
    assert len(discover(["films"]).videos) == 5
    assert [file.id for file in discover(["films/**/*.mp4"]).videos] == ["b.mp4", "old/b.mp4"]
    assert [file.id for file in discover(["films/.Trash-1000", "films/._b.mp4"]).videos] == ["files/x.mp4", "._b.mp4"]
    assert [file.id for file in discover(["films/.Trash-1000/*/*.mp4"]).videos] == ["files/x.mp4"]


def test_images_are_taken_where_they_are_named_and_counted_where_they_are_left(films: Path) -> None:
    for name in ("cover.jpg", "old/b.PNG", "old/c.webp", ".hidden.png", "old/d.gif"):
        (films / name).touch()
    found = discover(["films"])
    assert (len(found.videos), found.images) == (5, 3)
    # The same image below two names is one.
    assert discover(["films/old", "films/old/*"]).images == 2
    images = discover(["films"], suffixes=(*VIDEO_SUFFIXES, *IMAGE_SUFFIXES))
    assert {file.id for file in images.videos} - {file.id for file in found.videos} == {
        "cover.jpg",
        "old/b.PNG",
        "old/c.webp",
    }
    assert images.images == 0
    # Whoever writes the suffix means them.
    assert [file.id for file in discover(["films/*.jpg", "films/cover.jpg"]).videos] == ["cover.jpg"]
    assert [file.id for file in discover(["films/**/*.webp"]).videos] == ["old/c.webp"]
    assert Named.of(["films"], "path", images=True).read_by(films=True, features=False) == images
    # Of features no image can be meant.
    (films / "x.npz").touch()
    assert discover(["films"], suffixes=FEATURE_SUFFIXES).images == 0
    (films.parent / "stills").mkdir()
    (films.parent / "stills" / "a.png").touch()
    with pytest.raises(InvalidRequest, match="no video in it; .*--images takes images, too"):
        discover(["stills"])


ODD_NAMES = {
    b"two\nlines.mp4": r"films/two\nlines.mp4",
    b"not utf-8 \xff.mp4": r"films/not utf-8 \xff.mp4",
    b" lead.mp4": "films/ lead.mp4",
    b"escape \x1b[31m.mp4": r"films/escape \x1b[31m.mp4",
    b"folder \xe9/a.mp4": r"films/folder \xe9/a.mp4",
}


def test_names_that_can_not_be_ids_are_told_and_stop_nothing(films: Path) -> None:
    for name in ODD_NAMES:
        path = os.path.join(os.fsencode(films), name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb"):
            pass
    found = discover(["films"])
    assert len(found.videos) == 5
    assert {printable(file.path) for file in found.refused} == set(ODD_NAMES.values())
    assert all(printable(file.reason).isprintable() and "id" in file.reason for file in found.refused)
    # One named by itself, too.
    alone = discover(["films/ lead.mp4", "films/b.mp4"])
    assert ([file.id for file in alone.videos], len(alone.refused)) == (["b.mp4"], 1)
