"""Films beyond the limit of bytes: hostile ones harm nothing, and those of an address are cut as those of a file."""

from __future__ import annotations

import os
import pty
import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from framesift.export.bundle.errors import InvalidVideo
from framesift.export.bundle.segments import Cutting
from framesift.export.bundle.store import Bundle
from framesift.export.bundle.video.limits import VideoLimits
from framesift.serving.client.films import pieces_of
from framesift.serving.client.index_report import Report
from framesift.serving.client.indexing import Outcome
from framesift.serving.gallery.store import Gallery
from framesift.serving.indexing.encoder import Encoder
from framesift.serving.indexing.fetch import LargeFilm, opened
from framesift.serving.indexing.processes import Process
from framesift.serving.indexing.video import Reached, Video
from framesift.serving.indexing.worker import Setting

from ...bundle.mp4_files import BOMBS, box, edited
from ...waiting import until
from ..films import pictures, write_film
from .conftest import Run, website
from .records import bits

CUT = Cutting(1.0, 0.5)
_END = "no more is shown"


@pytest.fixture
def film(films: Path, tmp_path: Path) -> Path:
    """A film that is alone in the folder of films."""
    scene = pictures(films / "0.mp4")
    shutil.rmtree(films)
    films.mkdir()
    write_film(films / "film.mp4", [scene] * 4, crf=1)
    return films / "film.mp4"


@pytest.fixture
def address(film: Path) -> Iterator[str]:
    """Where a server of this machine has the film."""
    with website(film.parent) as server:
        yield f"{server}/{film.name}"


def _half(film: Path) -> int:
    """Bytes that a piece of the film may have, and it may not."""
    return film.stat().st_size // 2 + (64 << 10)


def _segments(folder: str) -> list[tuple[int, object]]:
    wanted = ["segment", "segments", "start", "end", "digest", "cutting", "timestamps", "frame_vectors"]
    return sorted(
        (row["segment"], bits([row[name] for name in wanted]))
        for batch in Gallery.existing(folder).reader().batches(wanted)
        for row in batch.to_pylist()
    )


@pytest.mark.slow
def test_a_hostile_film_is_named_and_ends_no_worker(bundle: Bundle, film: Path) -> None:
    limits = VideoLimits(max_bytes=_half(film))
    process = Process(Setting(str(bundle.root), limits.settings(), 60))
    try:
        process.peak()
        first, held = process.pid, _peak(process.pid)
        bombs = {"edits": edited(900_000, 5_000), "samples": BOMBS["plain"], "noise": b"no film"}
        for name, raw in bombs.items():
            path = film.with_name(f"{name}.mp4")
            path.write_bytes(raw + box(b"free", bytes(limits.max_bytes)))
            made = process.make(Video(name, str(path), "", cutting=CUT))
            assert made.status == "failed"
            assert "process ended" not in made.reason
        assert process.pid == first
        assert _peak(first) - held < 32 << 20
        told: list[Reached] = []
        made = process.make(Video("film", str(film), "", cutting=CUT), told.append)
        assert made.status == "indexed", made.reason
        assert told == [Reached(number + 1, len(made.rows)) for number in range(len(made.rows))]
        assert len(told) > 8
        # What cut it is gone, and what decodes is there.
        until(lambda: len(psutil.Process(first).children()) == 1)
    finally:
        process.end()


@pytest.mark.slow
def test_rows_that_are_not_all_of_a_film_are_refused(bundle: Bundle, film: Path) -> None:
    encoder = Encoder(bundle.root, bundle.manifest)
    try:
        pieces = [*pieces_of(film, bytes(32), CUT, _half(film))]
        assert len(pieces) > 1
        rows = encoder.rows_of_pieces(pieces, "film", "", "{}")
        assert len(rows) == rows[0].entry.segment.total
        for some in ([], pieces[:-1], pieces[1:], [*pieces[:1], *pieces]):
            with pytest.raises(InvalidVideo, match="not all of its segments"):
                encoder.rows_of_pieces(some, "film", "", "{}")
    finally:
        encoder.close()


def _peak(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM"))


@pytest.mark.slow
def test_a_folder_with_a_hostile_film_is_indexed_but_for_that(index: Run, film: Path) -> None:
    bomb = film.with_name("bomb.mp4")
    bomb.write_bytes(edited(900_000, 5_000) + box(b"free", bytes(film.stat().st_size)))
    told = index("films", "--segment-seconds", 1, "--jobs", 1, "--video-limit", f"bytes={_half(film)}")
    assert told.exit_code == 1
    assert told.stdout == "1 indexed, 0 skipped, 1 failed\n"
    assert "films/bomb.mp4: " in told.stderr


@pytest.mark.slow
def test_a_film_of_an_address_is_cut_as_that_of_a_file(
    index: Run, film: Path, address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    Path("list.jsonl").write_text(f'{{"path": "{address}"}}\n')
    limit = ("--video-limit", f"bytes={_half(film)}", "--jobs", 1)
    cut = ("--segment-seconds", 1, "--overlap", 0.5)
    whole = index("list.jsonl", *limit)
    assert (whole.exit_code, whole.stdout.startswith("0 indexed, 0 skipped, 1 failed")) == (1, True)
    assert "cut it with --segment-seconds" in whole.stderr
    for shots in ((), ("--shots",)):
        told = index("list.jsonl", *cut, *shots, *limit, gallery=f"fetched{shots}")
        assert (told.exit_code, told.stdout) == (0, "1 indexed, 0 skipped, 0 failed\n"), told.stderr
        assert index("films", *cut, *shots, *limit, gallery=f"here{shots}").exit_code == 0
        assert _segments(f"fetched{shots}") == _segments(f"here{shots}")
        assert index("list.jsonl", *cut, *shots, *limit, gallery=f"fetched{shots}").stdout.startswith("0 indexed, 1 sk")
    assert list((tmp_path / "temporary").glob("framesift-*")) == []


def test_a_film_of_an_address_is_on_the_disk_for_as_long_as_it_is_used(
    film: Path, address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    size, before = film.stat().st_size, set(tmp_path.iterdir())
    video = Video("film", address, "", cutting=CUT)
    with opened(video, size - 1, 60) as found:
        assert isinstance(found, LargeFilm)
        assert found.path.read_bytes() == film.read_bytes()
        with opened(replace(video, place=str(film)), size - 1, 60) as here:
            assert here == LargeFilm(film, found.digest)
    with opened(video, size, 60) as small:
        assert not isinstance(small, LargeFilm)
        assert small.digest == found.digest
    with opened(video, size - 1, 60, size), pytest.raises(ZeroDivisionError):
        raise ZeroDivisionError
    with (
        pytest.raises(InvalidVideo, match=f"more than {size - 1} bytes, the limit for one that is fetched"),
        opened(video, size // 2, 60, size - 1),
    ):
        pass
    with (
        pytest.raises(InvalidVideo, match=f"more than {size - 1} bytes, which is the limit: cut it"),
        opened(replace(video, cutting=None), size - 1, 60),
    ):
        pass
    monkeypatch.setattr("framesift.serving.indexing.on_disk._SPARE_BYTES", 1 << 62)
    monkeypatch.setattr("framesift.serving.indexing.on_disk._LOOK_BYTES", 1)
    with (
        pytest.raises(InvalidVideo, match="has no room for the film that is fetched: name another folder by TMPDIR"),
        opened(video, size - 1, 60),
    ):
        pass
    assert set(tmp_path.iterdir()) == before


def test_the_bar_tells_how_far_a_film_is(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = pty.openpty()
    with open(theirs, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        report = Report(fail_fast=False)
        # Of a film that ends before the bar begins nothing is shown.
        report.reached("early.mp4", 1, 2)
        report.told(Outcome("early.mp4", "indexed"))
        with report.showing(2):
            report.reached("films/a\nlong.mp4", 7, 1199)
            report.reached("other.mp4", 1, 3)
            report.reached("films/a\nlong.mp4", 8, 1199)
            report.told(Outcome("films/a\nlong.mp4", "indexed"))
        terminal.write(_END)
        terminal.flush()
        # A terminal hands on what was written in pieces.
        read = b""
        while not read.endswith(_END.encode()):
            read += os.read(ours, 1 << 16)
    shown = read.decode().removesuffix(_END)
    os.close(ours)
    lines = shown.split("\r")
    assert [part for part in ("a\\nlong.mp4: 7 of 1199 segments", "other.mp4: 1 of 3") if part not in shown] == []
    assert "early.mp4" not in shown
    assert "a\\nlong.mp4: 8 of 1199" in shown
    # It is done, and the other one is not.
    assert "other.mp4: 1 of 3 segments" in lines[-2]
