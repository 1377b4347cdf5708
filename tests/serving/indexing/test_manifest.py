"""Manifests line by line, parts of a run, and what a machine has room for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from framesift.export.bundle.errors import InvalidRequest
from framesift.export.bundle.video.limits import VideoLimits
from framesift.serving.client.discover import is_manifest
from framesift.serving.gallery.shard import Shard
from framesift.serving.indexing.failures_file import FailuresFile
from framesift.serving.indexing.manifest import read_manifest_lines
from framesift.serving.indexing.memory import how_many, processors, worker_bytes
from framesift.serving.indexing.video import Made, Video

SHA256 = "ab" * 32


def _manifest(folder: Path, *lines: object) -> Path:
    path = folder / "films.jsonl"
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines) + "\n")
    return path


def test_a_line_names_a_path_or_an_address(tmp_path: Path) -> None:
    path = _manifest(
        tmp_path,
        {"path": "old/a.mp4"},
        "",
        {"path": "/data/b.mp4", "id": "b", "metadata": {"title": "Ü"}, "sha256": SHA256},
        {"path": "https://me:secret@films.example.org/new/c%20d.mp4?key=secret"},
        {"path": "c.mp4", "features": "c.npz", "reason": "it failed once"},
    )
    relative, absolute, address, both = read_manifest_lines(path).videos
    assert relative == Video("old/a.mp4", str(tmp_path / "old/a.mp4"), str(tmp_path / "old/a.mp4"))
    assert (absolute.id, absolute.place, absolute.metadata) == ("b", "/data/b.mp4", '{"title":"Ü"}')
    assert absolute.digest == bytes.fromhex(SHA256)
    assert (address.id, address.source) == ("new/c d.mp4", "https://films.example.org/new/c%20d.mp4")
    assert "secret" in address.place
    assert both.beside == str(tmp_path / "c.npz")
    assert [video.id for video in read_manifest_lines(path, "stem").videos][2:] == ["c d", "c"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "line 2: Expecting"),
        ("[1]", "line 2: it is no JSON object"),
        ({"id": "a"}, 'line 2: it is no JSON object with a "path"'),
        ({"path": "a.mp4", "url": "b"}, "line 2: 'url' is unknown"),
        ({"path": "a.mp4"}, "lines 1 and 2 have the id 'a.mp4'"),
        ({"path": "reference://x/b.mp4"}, "line 2: 'reference://x/b.mp4' can't be read"),
        ({"path": "https::file:///etc/b.mp4"}, "line 2: .* can't be read"),
        ({"path": "b.mp4", "sha256": "12"}, "line 2: sha256 must be the 64 digits"),
        ({"path": "b.mp4", "sha256": 12}, "line 2: sha256 must be the 64 digits"),
        ({"path": "b.mp4", "id": 3}, "line 2: the id is int"),
        ({"path": "b.mp4", "metadata": [1]}, "line 2: the metadata"),
        ({"path": "https://example.org/b.mp4", "features": "b.npz"}, "line 2: features is the path"),
    ],
)
def test_a_line_that_can_not_be_right_is_named(tmp_path: Path, line: object, said: str) -> None:
    with pytest.raises(InvalidRequest, match=said):
        read_manifest_lines(_manifest(tmp_path, {"path": "a.mp4"}, line))


ODD = [
    {"path": "b.mp4", "id": " b"},
    {"path": "b.mp4", "id": ""},
    {"path": " lead.mp4"},
    {"path": "two\nlines.mp4"},
    {"path": "two\nlines.mp4", "id": "b"},
    {"path": "not utf-8 \udcff.mp4"},
    {"path": "\ud800.mp4", "id": "b"},
    {"path": "https://example.org/a%0Ab.mp4"},
]


@pytest.mark.parametrize("line", ODD, ids=repr)
def test_an_odd_name_is_refused_alone(tmp_path: Path, line: dict[str, str]) -> None:
    listed = read_manifest_lines(_manifest(tmp_path, {"path": "a.mp4"}, line, line, {"path": "b.mp4"}))
    assert [video.id for video in listed.videos] == ["a.mp4", "b.mp4"]
    assert len(listed.refused) == 2
    assert sum(Shard(number, 7).has(listed.refused[0].video.id) for number in range(7)) == 1
    # Their list is one more manifest, which says the same.
    with FailuresFile(tmp_path / "failed.jsonl") as failures:
        for made in listed.refused:
            failures.put(made)
    again = read_manifest_lines(tmp_path / "failed.jsonl")
    assert ([made.reason for made in again.refused], again.videos) == ([made.reason for made in listed.refused], [])


def test_a_manifest_without_videos_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="lists no videos"):
        read_manifest_lines(_manifest(tmp_path))
    with pytest.raises(InvalidRequest, match="can't be read"):
        read_manifest_lines(tmp_path / "absent.jsonl")
    (tmp_path / "folder.jsonl").mkdir()
    assert not is_manifest(str(tmp_path / "folder.jsonl"))


def test_what_failed_is_a_manifest(tmp_path: Path) -> None:
    videos = [Video("a", "/x/a.mp4", "a.mp4"), Video("b", "/x/b.mp4", "b.mp4", "/x/b.npz", '{"k":1}')]
    path = tmp_path / "failed.jsonl"
    with FailuresFile(path) as failures:
        for video in videos:
            failures.put(Made(video, reason="it is damaged"))
    read = read_manifest_lines(path).videos
    for one, other in zip(read, videos, strict=True):
        assert (one.id, one.place, one.beside, one.metadata) == (other.id, other.place, other.beside, other.metadata)
    with pytest.raises(InvalidRequest, match="can't be written"):
        FailuresFile(tmp_path)


def test_every_id_is_in_one_part() -> None:
    ids = [f"films/{n}.mp4" for n in range(3000)]
    parts = [Shard.read(f"{n}/7") for n in range(7)]
    counts = [sum(part.has(id_) for id_ in ids) for part in parts]
    assert sum(counts) == len(ids)
    assert min(counts) > len(ids) / 7 * 0.8
    # The same ids whatever the version: a job may go on with another.
    assert [id_ for id_ in ids[:12] if parts[0].has(id_)] == ["films/2.mp4", "films/8.mp4"]
    for text in ("1", "1/1", "-1/2", "2/2", "a/b", "1/2/3", "0/0"):
        with pytest.raises(InvalidRequest, match="write i/n"):
            Shard.read(text)


def test_processes_are_as_many_as_memory_holds() -> None:
    limits = VideoLimits().with_settings(["bytes=64M", "memory=256M"])
    each = worker_bytes(200 << 20, limits)
    assert each > (200 + 2 * 64 + 256) << 20
    # What takes a large film apart needs more than the file that there is then not.
    assert worker_bytes(200 << 20, limits, cuts=True) > each + (256 << 20)
    assert how_many(each, None, 1 << 60) == processors()
    assert how_many(each, None, each) == 1
    assert how_many(each, 3, 3 * each) == 3
    with pytest.raises(InvalidRequest, match="don't fit"):
        how_many(each, 4, 3 * each)
    with pytest.raises(InvalidRequest, match="--video-limit bytes=64M"):
        how_many(each, None, each - 1)
