"""Digests that are remembered between runs: never one of other bytes."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from framesift.serving.client.digests import Digests, Stamp, digest_of

from ...waiting import until


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def settled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Films, one for each test, that nobody has written to for two seconds."""
    folder = tmp_path_factory.mktemp("films")
    paths = [folder / str(n) / "film.mp4" for n in range(6)]
    for path in paths:
        path.parent.mkdir()
        path.write_bytes(b"film")
    time.sleep(2.1)
    return iter(paths)


@pytest.fixture
def film(settled: Iterator[Path]) -> Path:
    return next(settled)


def _remember(cache: Path, path: Path) -> None:
    stamp = Stamp.of(path)
    assert stamp is not None
    digests = Digests(cache)
    digests.put(path, stamp, digest_of(path))
    digests.close()


def _recall(cache: Path, path: Path) -> bytes | None:
    stamp = Stamp.of(path)
    assert stamp is not None
    digests = Digests(cache)
    try:
        return digests.get(path, stamp)
    finally:
        digests.close()


def test_a_file_that_did_not_change_is_known_again(cache: Path, film: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _remember(cache, film)
    assert _recall(cache, film) == hashlib.sha256(b"film").digest()
    monkeypatch.chdir(film.parent)
    assert _recall(cache, Path("film.mp4")) == hashlib.sha256(b"film").digest()
    assert (cache / "digests.sqlite").stat().st_mode & 0o777 <= 0o644


def test_bytes_of_the_same_number_with_their_old_time_are_not(cache: Path, film: Path) -> None:
    _remember(cache, film)
    before = film.stat()
    film.write_bytes(b"FILM")
    os.utime(film, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (film.stat().st_size, film.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert _recall(cache, film) is None


def test_another_file_in_its_place_is_not(cache: Path, film: Path) -> None:
    _remember(cache, film)
    other = film.with_name("other.mp4")
    other.write_bytes(b"FILM")
    other.replace(film)
    assert _recall(cache, film) is None


def test_a_file_that_was_just_written_is_not_remembered(cache: Path, tmp_path: Path) -> None:
    fresh = tmp_path / "fresh.mp4"

    def at_once() -> bool:
        began = time.monotonic()
        fresh.write_bytes(b"fresh")
        _remember(cache, fresh)
        return time.monotonic() - began < 1.5

    # Else it was not just written.
    until(at_once)
    time.sleep(2.1)
    assert _recall(cache, fresh) is None


def test_what_is_no_file_has_no_stamp(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "link.mp4").symlink_to("nowhere")
    assert [Stamp.of(tmp_path / name) for name in ("pipe.mp4", "link.mp4", "absent.mp4", "")] == [None] * 4


@pytest.mark.parametrize("harm", ["no database", "a folder that is a file", "off"])
def test_a_cache_that_can_not_be_used_is_none(harm: str, cache: Path, film: Path) -> None:
    if harm == "no database":
        cache.mkdir()
        (cache / "digests.sqlite").write_bytes(b"garbage" * 1000)
    elif harm == "a folder that is a file":
        cache.write_bytes(b"")
    digests = Digests(None if harm == "off" else cache)
    stamp = Stamp.of(film)
    assert stamp is not None
    digests.put(film, stamp, bytes(32))
    assert digests.get(film, stamp) is None
    digests.close()


@pytest.mark.parametrize(
    ("home", "place"), [("/home/somebody", "/home/somebody/framesift"), ("relative", None), ("", None)]
)
def test_it_lies_in_the_users_cache(home: str, place: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", home)
    assert Digests.folder() == Path(place or Path.home() / ".cache" / "framesift")
