"""Films in segments without a server: one commit a film, again where they are cut otherwise, and long ones."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import psutil
import pytest

from framesift.export.bundle.segments import Cutting
from framesift.export.bundle.store import Bundle
from framesift.export.bundle.video.limits import DEFAULT_LIMITS
from framesift.serving.client.sync import Client
from framesift.serving.gallery.store import Gallery
from framesift.serving.indexing.processes import Process
from framesift.serving.indexing.video import Video
from framesift.serving.indexing.worker import Setting
from framesift.serving.serve import running

from ..films import lasting, pictures, write_film
from .conftest import FILMS, Run
from .records import segments


@pytest.mark.slow
def test_films_are_cut_known_again_and_cut_otherwise(index: Run, films: Path) -> None:
    first = index("films", "--segment-seconds", 1, "--overlap", 0.5)
    assert (first.exit_code, first.stdout) == (0, f"{FILMS} indexed, 0 skipped, 0 failed\n"), first.stderr
    cut = segments()
    for rows in cut.values():
        assert [number for number, _, _ in rows] == list(range(len(rows)))
        assert rows[1][1:] == (0.5, 1.5)
        assert rows[-1][2] - rows[-1][1] == pytest.approx(1, abs=1e-3)
    gallery = Gallery.existing("gallery")
    assert gallery.count == FILMS < gallery.reader().rows
    before = gallery.version
    second = index("films", "--segment-seconds", 1, "--overlap", 0.5)
    assert second.stdout == f"0 indexed, {FILMS} skipped, 0 failed: the gallery is as it was\n"
    assert Gallery.existing("gallery").version == before
    third = index("films", "--segment-seconds", 2)
    assert third.stdout == f"{FILMS} indexed, 0 skipped, 0 failed\n"
    assert all(len(segments()[id_]) < len(rows) for id_, rows in cut.items())
    assert index("films", "--segment-seconds", 2, "--shots").stdout == f"{FILMS} indexed, 0 skipped, 0 failed\n"
    # And as they were at first.
    whole = f"{FILMS} films that were kept in segments are now whole videos: --segment-seconds cuts films again\n"
    assert index("films").stdout == f"{FILMS} indexed, 0 skipped, 0 failed\n{whole}"
    assert index("films").stdout == f"0 indexed, {FILMS} skipped, 0 failed: the gallery is as it was\n"
    assert {len(rows) for rows in segments().values()} == {1}


@pytest.mark.slow
def test_a_film_that_is_larger_than_a_request_is_cut_from_its_file(index: Run, films: Path) -> None:
    """Its records are those that it has where it may be read at once."""
    shutil.rmtree(films / "old")
    scene = pictures(films / "0.mp4")
    for path in films.iterdir():
        path.unlink()
    write_film(films / "film.mp4", [scene] * 4, crf=1)
    options = ["films", "--segment-seconds", 1, "--overlap", 0.5]
    limit = f"bytes={(films / 'film.mp4').stat().st_size // 2 + (64 << 10)}"
    assert index(*options, "--video-limit", limit).stdout == "1 indexed, 0 skipped, 0 failed\n"
    assert index(*options, "--video-limit", limit, "--no-cache").stdout.startswith("0 indexed, 1 skipped")
    assert index(*options, gallery="at once").exit_code == 0
    galleries = (Gallery.existing(folder).reader() for folder in ("gallery", "at once"))
    first, second = (
        {
            row.pop("segment"): row
            for batch in reader.batches(["segment", "start", "end", "digest", "cutting", "timestamps", "frame_vectors"])
            for row in batch.select(
                [name for name in batch.schema.names if name not in ("sequence", "checksums")]
            ).to_pylist()
        }
        for reader in galleries
    )
    assert first == second
    assert len(first) > 8


def test_segments_that_can_t_be_are_refused(index: Run) -> None:
    assert "--overlap needs --segment-seconds" in index("films", "--overlap", 2).stderr
    assert "--shots needs --segment-seconds" in index("films", "--shots").stderr
    assert "overlap must be less than a segment" in index("films", "--segment-seconds", 2, "--overlap", 2).stderr
    assert not Path("gallery").exists()


def test_a_list_of_films_and_shards_are_cut_too(index: Run, films: Path) -> None:
    Path("list.jsonl").write_text('{"path": "films/0.mp4"}\n{"path": "films/2.mp4", "id": "two"}\n')
    told = index("list.jsonl", "--segment-seconds", 1)
    assert (told.exit_code, told.stdout) == (0, "2 indexed, 0 skipped, 0 failed\n"), told.stderr
    assert segments().keys() == {"films/0.mp4", "two"}
    assert len(segments()["two"]) > 2
    again = index("list.jsonl", "--segment-seconds", 1, "--shard", "0/1")
    assert again.stdout.startswith("0 indexed, 2 skipped")


def _nothing(count: int) -> list[np.ndarray]:
    """Pictures of nothing that any caption tells: grey that gets lighter and darker."""
    return [np.full((96, 96, 3), 90 + int(60 * abs(np.sin(n / 40))), np.uint8) for n in range(count)]


@pytest.mark.slow
@pytest.mark.server
def test_a_film_of_half_an_hour_is_found_by_its_one_shot_and_takes_no_more_memory_than_a_short_one(
    bundle: Bundle, clips: list, index: Run, films: Path, tmp_path: Path
) -> None:
    rate, target, begin = 2, clips[7], 1232.5
    shutil.rmtree(films)
    films.mkdir()
    for clip in clips:
        if clip is not target:
            shutil.copyfile(clip.video, films / clip.video.name)
    shot = lasting(pictures(target.video), 30 * rate)
    begins = write_film(
        films / "half an hour.mp4", [_nothing(int(begin * rate)), shot, _nothing(int((1800 - begin) * rate) - 60)], rate
    )
    assert (begins[1], begins[-1]) == (begin, 1800)
    told = index("films", "--segment-seconds", 30, "--overlap", 20)
    assert told.exit_code == 0, told.stderr
    assert len(segments()["half an hour.mp4"]) == 178
    with running(bundle, Path("gallery")) as server, Client(server.address) as client:
        result = client.search(target.captions[0])
        assert result.among == len(clips)
        assert result.hits[0].id == "half an hour.mp4"
        assert result.hits[0].start is not None
        assert abs(result.hits[0].start - begin) < 30
        assert result.hits[0].moment is not None
        assert begin <= result.hits[0].moment < begin + 30
    write_film(tmp_path / "short.mp4", [_nothing(60 * rate)], rate)
    held = {}
    for path in (tmp_path / "short.mp4", films / "half an hour.mp4"):
        process = Process(Setting(str(bundle.root), DEFAULT_LIMITS.settings(), 600))
        try:
            made = process.make(Video("x", str(path), "", cutting=Cutting(30, 20)))
            assert not made.reason
            family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
            held[len(made.rows)] = sum(_peak(one.pid) for one in family)
        finally:
            process.end()
    assert held.keys() == {4, 178}
    # The records themselves, and the film's table of packets.
    assert held[178] - held[4] < 24 << 20


def _peak(pid: int) -> int:
    """The most bytes that a process has held."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM"))
