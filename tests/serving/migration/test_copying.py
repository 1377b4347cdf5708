"""A gallery's videos made again in another: what comes, goes and changes meanwhile, stops, and what can't be made."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

import pytest

from framesift.export.bundle.errors import GalleryError, InvalidVideo
from framesift.export.bundle.manifest import Manifest
from framesift.export.bundle.segments import Cutting, Segment
from framesift.serving.client.uploads import read_video
from framesift.serving.gallery.editing import Change, edit
from framesift.serving.gallery.rows import GalleryEntry, Row
from framesift.serving.gallery.store import Gallery
from framesift.serving.indexing.video import Made, Video
from framesift.serving.migration import note
from framesift.serving.migration.copying import Copying
from framesift.serving.migration.places import Places
from framesift.serving.migration.states import behind, states

MakeEntry = Callable[..., GalleryEntry]


class Makers:
    """Makes records of files' bytes at once, and counts them."""

    slots = 2

    def __init__(self, gallery: Gallery, make_entry: MakeEntry) -> None:
        self._gallery, self._make_entry = gallery, make_entry
        self.made: list[str] = []
        self.videos: list[Video] = []
        self.meanwhile: Callable[[], None] = lambda: None

    def submit(self, video: Video) -> Future[Made]:
        self.meanwhile()
        found: Future[Made] = Future()
        found.set_result(self._make(video))
        return found

    def close(self) -> None: ...

    def _make(self, video: Video) -> Made:
        self.made.append(video.id)
        self.videos.append(video)
        try:
            digest = read_video(video.place).digest
        except InvalidVideo as error:
            return Made(video, reason=str(error))
        if digest != video.digest:
            return Made(video, reason="it has changed")
        count = 1 if video.cutting is None else {30: 3, 20: 4}[int(video.cutting.seconds)]
        count = 1 if video.id == "short" else count
        facts = {"digest": digest, "source": video.source, "metadata": video.metadata, "cutting": video.cutting}
        rows = (self._make_entry(video.id, 9, segment=Segment(n, count, n, n + 1), **facts) for n in range(count))
        return Made(video, tuple(Row.of(row, self._gallery.schema) for row in rows))


class World:
    """Two galleries and the files of the old one's videos."""

    def __init__(self, folder: Path, manifest: Manifest, make_entry: MakeEntry) -> None:
        self.folder, self._make_entry = folder, make_entry
        self.old = Gallery.open(folder / "galleries" / "old", manifest)
        self.new = Gallery.open(folder / "galleries" / "new", replace(manifest, fingerprint="another"))
        self.makers = Makers(self.new, make_entry)
        self.told: list[Made] = []
        self.copying = self.again()

    def again(self, below: Path | None = None) -> Copying:
        """What another run has."""
        places = Places(below, addresses=False, beside=False)
        return Copying(self.old, self.new, places, lambda: self.makers, self.told.append)

    def index(
        self,
        id_: str,
        content: str = "",
        metadata: str = "{}",
        source: str | None = None,
        cutting: Cutting | None = None,
        count: int = 1,
    ) -> None:
        """Put a video, or a film's segments, into the old gallery, and its file onto the disk."""
        path = self.folder / id_
        path.write_text(content or id_)
        digest = hashlib.sha256((content or id_).encode()).digest()
        facts = {"digest": digest, "metadata": metadata, "source": str(path) if source is None else source}
        self.old.add(
            [self._make_entry(id_, segment=Segment(n, count, n, n + 1), cutting=cutting, **facts) for n in range(count)]
        )

    def catch_up(self) -> None:
        while left := self.copying.behind():
            self.copying.catch_up(left)

    def alike(self) -> bool:
        return states(self.old) == states(self.new)


@pytest.fixture
def world(tmp_path: Path, manifest: Manifest, make_entry: MakeEntry) -> Iterator[World]:
    made = World(tmp_path, manifest, make_entry)
    yield made
    made.old.close()
    made.new.close()


def test_what_comes_goes_and_changes_meanwhile_is_followed(world: World) -> None:
    for id_ in "abcde":
        world.index(id_, metadata='{"n": 1}')
    changes = iter(
        [
            lambda: world.index("new"),
            lambda: world.old.remove(["a"]),
            lambda: world.index("b", "another film"),
            lambda: edit(world.old, {"c": Change(metadata={"n": 2})}),
            lambda: world.index("d", "d", metadata='{ "spaced" : [1] }'),
        ]
    )
    world.makers.meanwhile = lambda: next(changes, lambda: None)()
    world.catch_up()
    assert world.alike()
    assert not list(changes)
    found = world.new.describe(["c", "d"])
    assert (found["c"].metadata, found["d"].metadata) == ('{"n":2}', '{ "spaced" : [1] }')
    # Metadata alone is no reason to make a record again.
    assert world.makers.made.count("c") == world.makers.made.count("d") == 1


def test_films_that_are_cut_are_cut_again(world: World, make_entry: MakeEntry) -> None:
    for id_, cutting, count in (("plain", None, 1), ("cut", Cutting(30, 5), 3), ("short", Cutting(30, 5), 1)):
        world.index(id_, cutting=cutting, count=count)
    world.catch_up()
    assert world.alike()
    cut = dict.fromkeys(("cut", "short"), Cutting(30, 5).json())
    assert world.new.reader().cuttings(["plain", "cut", "short"]) == cut
    assert {video.id: video.cutting for video in world.makers.videos} == {
        "plain": None,
        "cut": Cutting(30, 5),
        "short": Cutting(30, 5),
    }
    # Cut otherwise it is another one, and whole it is, too.
    world.index("cut", cutting=Cutting(20), count=4)
    world.index("short")
    world.catch_up()
    assert world.alike()
    assert world.new.reader().rows == 1 + 4 + 1
    assert world.new.reader().cuttings(["cut", "short"]) == {"cut": Cutting(20).json()}


def test_segments_of_which_nobody_said_how_they_came_to_be_are_told(world: World, make_entry: MakeEntry) -> None:
    world.old.add([make_entry("cut", segment=Segment(number, 3, number, number + 1)) for number in range(3)])
    world.catch_up()
    (failed,) = world.told
    assert "came as 3 records" in failed.reason
    assert not world.new.count


def test_a_run_that_stopped_goes_on_and_makes_nothing_twice(world: World) -> None:
    for number in range(12):
        world.index(f"v{number}")

    def stop() -> None:
        if len(world.makers.made) == 7:
            raise KeyboardInterrupt

    world.makers.meanwhile = stop
    with pytest.raises(KeyboardInterrupt):
        world.catch_up()
    before = set(states(world.new))
    assert 0 < len(before) < 12
    first = len(world.makers.made)
    world.makers.meanwhile = lambda: None
    world.copying = world.again()
    world.catch_up()
    assert world.alike()
    assert not before & set(world.makers.made[first:])


def test_what_can_not_be_made_is_told_and_left_out(world: World, tmp_path: Path) -> None:
    for id_ in ("good", "gone", "changed", "stale"):
        world.index(id_)
    world.index("sent", source="")
    world.index("far", source="https://example.org/film.mp4")
    world.catch_up()
    assert set(world.copying.failed) == {"sent", "far"}
    # What the new gallery has of a video that is another by now is no record of it.
    world.index("stale", "another film")
    (tmp_path / "stale").write_text("and another one")
    (tmp_path / "gone").unlink()
    edit(world.new, {"gone": Change(delete=True), "changed": Change(delete=True)})
    (tmp_path / "changed").write_text("other bytes")
    world.catch_up()
    reasons = {made.video.id: made.reason for made in world.told if made.reason}
    assert reasons.keys() == {"sent", "far", "gone", "changed", "stale"} == world.copying.failed.keys()
    assert reasons["sent"].startswith("it has no source")
    assert "--addresses" in reasons["far"]
    assert states(world.new).keys() == {"good"}
    # Once it is indexed again it is made.
    world.index("changed", "other bytes")
    world.catch_up()
    assert states(world.new).keys() == {"good", "changed"}
    # And whoever runs it again tries all of them again.
    world.copying = world.again()
    assert set(world.copying.behind().make) == {"sent", "far", "gone", "stale"}


def test_sources_are_read_below_a_folder_alone(world: World, tmp_path: Path) -> None:
    below = tmp_path / "below"
    below.mkdir()
    (below / "in").write_text("in")
    (below / "link").symlink_to(tmp_path / "out")
    for id_, source in (("in", "in"), ("out", "../out"), ("link", "link"), ("away", str(tmp_path / "away"))):
        world.index(id_, source=source)
    world.copying = world.again(below)
    world.catch_up()
    assert states(world.new).keys() == {"in"}
    reasons = {made.video.id: made.reason for made in world.told if made.reason}
    assert reasons.keys() == {"out", "link", "away"}
    assert reasons["out"] == f"its source '../out' lies outside {below}"
    assert all(reason.endswith(f"lies outside {below}") for reason in reasons.values())


def test_a_relative_source_that_is_not_here_leads_to_where_it_was_indexed(world: World) -> None:
    world.index("elsewhere", source="videos/nowhere.mp4")
    world.catch_up()
    (told,) = (made.reason for made in world.told if made.reason)
    assert "its source 'videos/nowhere.mp4' is relative" in told
    assert f"no such file in {os.getcwd()}" in told
    assert "--below" in told
    world.copying = world.again(world.folder)
    world.catch_up()
    assert f"no such file in {world.folder}: " in world.told[-1].reason
    assert "elsewhere" not in states(world.new)


def test_what_was_on_its_way_is_followed_and_the_new_gallery_s_own_is_kept(world: World, make_entry: MakeEntry) -> None:
    for id_ in ("same", "late", "both", "dropped"):
        world.index(id_)
    world.catch_up()
    at_old, at_new = states(world.old), states(world.new)
    world.index("late", "another film")
    world.index("both", "another film")
    world.index("came")
    world.old.remove(["dropped"])
    digest = hashlib.sha256(b"own").digest()
    own = [make_entry(id_, digest=digest, source="own") for id_ in ("own", "both")]
    world.new.add(own)
    world.copying.catch_up(world.copying.late(at_old, at_new))
    found = states(world.new)
    assert found.keys() == {"same", "late", "both", "own", "came"}
    assert found["late"] == states(world.old)["late"]
    assert found["both"].startswith(digest)
    assert found["own"].startswith(digest)


def test_a_gallery_of_its_own_is_left_as_it_is(world: World, make_entry: MakeEntry, tmp_path: Path) -> None:
    world.index("a")
    world.new.add([make_entry("mine")])
    with pytest.raises(GalleryError, match="no migration has made"):
        note.begin(world.old, world.new)
    world.new.remove(["mine"])
    note.begin(world.old, world.new)
    world.catch_up()
    note.end(world.old, world.new)
    # All is as it was left, so it may go on.
    note.begin(world.old, world.new)
    note.end(world.old, world.new)
    world.new.add([make_entry("mine")])
    with pytest.raises(GalleryError, match="a gallery of its own"):
        note.begin(world.old, world.new)
    other = Gallery.made(tmp_path / "other", world.old.schema)
    with pytest.raises(GalleryError, match="is being made of"):
        note.begin(other, world.new)
    (world.new.root / ".migration").write_text(json.dumps({"old": 3}))
    with pytest.raises(GalleryError, match="can't be read"):
        note.begin(world.old, world.new)


def test_differences() -> None:
    digest, other = b"d" * 40 + b"m" * 8, b"e" * 40 + b"m" * 8
    told = b"d" * 40 + b"n" * 8
    found = behind(
        {"same": digest, "new": digest, "other": other, "told": told, "failed": digest},
        {"same": digest, "other": digest, "told": digest, "gone": digest},
        {"failed": digest, "same": other},
    )
    assert (found.make, found.tell, found.remove) == (["new", "other"], ["told"], ["gone"])
