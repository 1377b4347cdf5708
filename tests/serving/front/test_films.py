"""Files of videos: whatever ids, sources and links say, only what lies below the folder is read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from framesift.serving.client.discover import VIDEO_SUFFIXES
from framesift.serving.front.status import Refusal
from framesift.serving.front.v1.films import KINDS, Films
from framesift.serving.front.v1.ranges import Unsatisfiable, read_range

from ...waiting import until


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "films"
    (folder / "news").mkdir(parents=True)
    (folder / "news" / "a.mp4").write_bytes(b"film a")
    (folder / "b ü.MP4").write_bytes(b"film b")
    (folder / "notes.txt").write_text("no film")
    (tmp_path / "outside.mp4").write_bytes(b"secret")
    (tmp_path / "films-not").mkdir()
    (tmp_path / "films-not" / "c.mp4").write_bytes(b"secret")
    (folder / "inside.mp4").symlink_to("news/a.mp4")
    (folder / "out.mp4").symlink_to(tmp_path / "outside.mp4")
    (folder / "away").symlink_to(tmp_path)
    (folder / "null.mp4").symlink_to("/dev/null")
    os.mkfifo(folder / "pipe.mp4")
    (folder / "folder.mp4").mkdir()
    return folder


def content(films: Films, id_: str, source: str = "") -> bytes:
    film = films.open(id_, source)
    try:
        return film.read(0, film.size)
    finally:
        film.close()


def test_a_video_is_found_by_its_source_and_by_its_id(root: Path) -> None:
    films = Films(root)
    assert content(films, "x", str(root / "news" / "a.mp4")) == b"film a"
    assert content(films, "news/a.mp4") == b"film a"
    assert content(films, "b ü.MP4", "/elsewhere/b.mp4") == b"film b"
    assert content(films, "inside.mp4") == b"film a"
    # The folder itself may be reached by a link.
    (root.parent / "link").symlink_to(root)
    assert content(Films(root.parent / "link"), "x", str(root / "news" / "a.mp4")) == b"film a"


@pytest.mark.parametrize(
    "name",
    [
        "../outside.mp4",
        "news/../../outside.mp4",
        "{root}/../outside.mp4",
        "{outside}",
        "out.mp4",
        "away/outside.mp4",
        "{root}-not/c.mp4",
        "../films-not/c.mp4",
        "null.mp4",
        "pipe.mp4",
        "folder.mp4",
        "notes.txt",
        "absent.mp4",
        "news",
        "/dev/stdin.mp4",
        "news/a.mp4/x.mp4",
        "a" * 5000 + ".mp4",
    ],
)
def test_nothing_else_is_read(name: str, root: Path) -> None:
    name = name.format(root=root, outside=root.parent / "outside.mp4")
    for id_, source in ((name, ""), ("x", name)):
        with pytest.raises(Refusal, match="has no file of"):
            Films(root).open(id_, source)


def test_nothing_stays_open(root: Path) -> None:
    films, before = Films(root), len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        films.open("news/a.mp4", "").close()
        with pytest.raises(Refusal):
            films.open("pipe.mp4", "")
    # Threads that other tests have left may open and close some at any time.
    until(lambda: len(os.listdir("/proc/self/fd")) <= before)


def test_every_kind_that_is_indexed_is_known_to_browsers() -> None:
    assert set(KINDS) == set(VIDEO_SUFFIXES)


@pytest.mark.parametrize(
    ("header", "wanted"),
    [
        (None, None),
        (b"bytes=0-", (0, 40)),
        (b"bytes=0-0", (0, 1)),
        (b"bytes=10-19", (10, 20)),
        (b"bytes=90-", (90, 100)),
        (b"bytes=90-500", (90, 100)),
        (b"bytes=-10", (90, 100)),
        (b"bytes=-500", (0, 40)),
        (b"bytes=5-4", None),
        (b"bytes=0-1,4-5", None),
        (b"bytes=-", None),
        (b"lines=1-2", None),
        (b"bytes=x-", None),
    ],
)
def test_ranges(header: bytes | None, wanted: tuple[int, int] | None) -> None:
    assert read_range(header, 100, 40) == wanted


@pytest.mark.parametrize(("header", "size"), [(b"bytes=100-", 100), (b"bytes=-0", 100), (b"bytes=0-", 0)])
def test_ranges_behind_the_end_are_told(header: bytes, size: int) -> None:
    with pytest.raises(Unsatisfiable):
        read_range(header, size, 40)
