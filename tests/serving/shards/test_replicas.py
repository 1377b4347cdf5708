"""Two replicas of every shard: searches take turns, go on without one of them, and never show less than before."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from framesift.export.bundle.errors import ServerUnavailable
from framesift.export.bundle.manifest import Manifest
from framesift.export.bundle.ports import SCORER, TEXT_EMBEDDING
from framesift.serving.backends.gauges import REPLICAS_MISSING, SHARDS_MISSING
from framesift.serving.gallery.rows import GalleryEntry
from framesift.serving.gallery.shard import part_of
from framesift.serving.search.snapshot import Snapshot
from framesift.serving.shards import calls, fleet, gallery_search
from framesift.serving.shards.messages import INDEX, LOOKUP, SEARCH
from framesift.serving.shards.service import Service

from ...waiting import until
from ..toy_scorer import DIM, scorer_graph
from .beside import Kept, beside, listed, pages, tell

MakeEntry = Callable[..., GalleryEntry]
Both = tuple[Kept, Kept, list[Service]]
SHARDS = 2


@pytest.fixture
def both(manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Both]:
    files = {f"{SCORER}.onnx": scorer_graph().SerializeToString()}
    with beside(tmp_path, manifest, files, SHARDS, monkeypatch, replicas=2) as found:
        yield found


def _text(seed: int = 0) -> dict[str, np.ndarray]:
    values = np.random.default_rng(seed).standard_normal((1, DIM), dtype=np.float32)
    return {TEXT_EMBEDDING: values / np.linalg.norm(values)}


def _filled(both: Both, make_entry: MakeEntry, count: int = 12) -> None:
    for kept in both[:2]:
        for number in range(count):
            kept.add([make_entry(f"film {number}", metadata=json.dumps({"n": number}))])
        kept.wait(_text())


def _asked(service: Service, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The kinds of the messages that a replica answers from now on."""
    kinds: list[str] = []
    answer = service.shard.answer

    def noted(kind: str, *rest: Any) -> Any:
        kinds.append(kind)
        return answer(kind, *rest)

    monkeypatch.setattr(service.shard, "answer", noted)
    return kinds


def _seldom(service: Service) -> Snapshot:
    """What a replica shows, which follows the gallery no more by itself: as if it polled it seldom."""
    late = service.shard._search.snapshot
    late.close()
    return late


def _alike(services: list[Service]) -> bool:
    """Whether both replicas of every shard show the same."""
    views = [service.shard._search.snapshot.view.version for service in services]
    return views[0::2] == views[1::2]


def _of(shard: int) -> str:
    return next(f"own {n}" for n in range(99) if part_of(f"own {n}", SHARDS) == shard)


def test_answers_are_one_servers_and_replicas_take_turns(
    both: Both, make_entry: MakeEntry, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone, together, services = both
    _filled(both, make_entry)
    until(lambda: _alike(services))
    # A replica that was behind lately is asked last.
    time.sleep(0.5)
    kinds = [_asked(service, monkeypatch) for service in services]
    for seed in range(10):
        assert together.found(_text(seed), 5, facts=True) == alone.found(_text(seed), 5, facts=True)
    assert [each.count(SEARCH) for each in kinds] == [5] * 4
    for kept in (alone, together):
        for shard in range(SHARDS):
            kept.add([make_entry(_of(shard))])
        kept.add([make_entry("film 3", seed=4)])
        kept.change({"film 5": {"delete": True}})
        kept.wait(_text())
    # Those that are there longest write.
    assert [set(each) for each in kinds] == [{SEARCH, INDEX, LOOKUP}, {SEARCH}] * 2
    for top in (3, 100):
        assert listed(together, top, "n > 2") == listed(alone, top, "n > 2")
    found = []
    for kept in (alone, together):
        later = iter(range(100, 200))

        def change(kept: Kept = kept, later: Iterator[int] = later) -> None:
            kept.add([make_entry(f"film {next(later)}")])

        found.append(pages(kept, _text(3), 2, change))
    assert found[0] == found[1]


def test_a_search_goes_to_another_replica_where_one_is_gone_or_late(
    both: Both, make_entry: MakeEntry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, together, services = both
    _filled(both, make_entry)
    whole = together.found(_text(), 20, facts=True)
    until(lambda: _alike(services))
    with services[1].shard.turn(SEARCH), monkeypatch.context() as patch:
        # Half of the deadline is the first one's, and the other's half has to be enough on a busy machine.
        patch.setattr(together.search._fleet, "_deadline_s", 16.0)
        # Each is the first one once.
        for _ in range(2):
            assert together.found(_text(), 20, facts=True) == whole
    services[0].close()
    services[3].close()
    for _ in range(4):
        assert together.found(_text(), 20, facts=True) == whole
        assert together.found(_text(), 20, facts=True, partial=True) == whole
    with monkeypatch.context() as patch:
        patch.setattr(fleet, "_SUCCEEDS_S", 0.1)
        with pytest.raises(ServerUnavailable, match="shard 0/2 of the gallery does not answer"):
            together.add([make_entry(_of(0))])
    assert together.search.gauges()[REPLICAS_MISSING] == 0
    # As soon as it is known that it is gone the other one writes, and tells what there is.
    monkeypatch.setattr(fleet, "_SUCCEEDS_S", 60.0)
    told = threading.Timer(0.3, tell, [tmp_path / "directory of shards", [services[1:2], services[2:4]]])
    told.start()
    together.add([make_entry(_of(0)), make_entry(_of(1))])
    told.join()
    together.wait(_text())
    assert together.search.gauges()[SHARDS_MISSING] == 0
    assert together.search.gauges()[REPLICAS_MISSING] == 1
    assert len(together.found(_text(), 20)[0][0]) == 14
    services[1].close()
    with pytest.raises(ServerUnavailable, match="shard 0/2 of the gallery does not answer"):
        together.found(_text(), 20)


@pytest.mark.parametrize("known", [True, False], ids=["known to be gone", "not known yet"])
def test_a_replica_that_has_not_followed_yet_shows_nothing_older(
    both: Both, make_entry: MakeEntry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, known: bool
) -> None:
    _, together, services = both
    _filled(both, make_entry)
    late = _seldom(services[1])
    together.add([make_entry(_of(0))])
    together.wait(_text())
    for _ in range(6):
        assert len(together.found(_text(), 20)[0][0]) == 13
    # However long answers take.
    with monkeypatch.context() as patch:
        patch.setattr(calls, "_FOLLOWS_S", 0.0)
        patch.setattr(fleet, "_BEHIND_S", 0.0)
        for _ in range(6):
            assert len(together.found(_text(), 20)[0][0]) == 13
    # The one that has shown it ends, and the other follows a moment later.
    monkeypatch.setattr(calls, "_FOLLOWS_S", 60.0)
    services[0].close()
    if known:
        tell(tmp_path / "directory of shards", [services[1:2], services[2:4]])
    threading.Timer(0.3, late.refresh).start()
    assert len(together.found(_text(), 20)[0][0]) == 13


def test_replicas_that_are_all_behind_are_asked_again_after_a_pause(
    both: Both, make_entry: MakeEntry, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, together, services = both
    _filled(both, make_entry)
    # As if older files had been put in the place of the first shard's.
    together.search._fleet._shown[0] += 1000
    monkeypatch.setattr(calls, "_PAUSE_S", 600.0)
    # Both are asked by then, however busy the machine is.
    monkeypatch.setattr(together.search._fleet, "_deadline_s", 8.0)
    kinds = [_asked(service, monkeypatch) for service in services[:2]]
    assert len(together.found(_text(), 20)[0][0]) == 12
    assert kinds == [[SEARCH], [SEARCH]]


def test_whoever_begins_to_write_promises_nothing_that_the_other_has_broken(
    both: Both, make_entry: MakeEntry, tmp_path: Path
) -> None:
    _, together, services = both
    _filled(both, make_entry)
    late = _seldom(services[1])
    together.add([make_entry(_of(1))])
    together.wait(_text())
    together.add([make_entry(_of(0))])
    written = together.version
    services[0].close()
    tell(tmp_path / "directory of shards", [services[1:2], services[2:4]])
    # Its view lacks what the other wrote, so it does not say that it has it.
    answer = together.search.run([{**_text(), "top": np.array([[20]], np.int32)}])[0]
    assert int(answer["version"][0, 0]) < written  # type: ignore[index]
    late.refresh()
    together.wait(_text())
    assert len(together.found(_text(), 20)[0][0]) == 14


def _again(kept: Kept, folder: Path) -> Kept:
    """The same gallery, searched by a process that has just started: it knows nothing of what was shown before."""
    body = gallery_search.GallerySearch()
    body.setup({}, folder)
    return Kept(body, kept.index, kept.lookup)


def test_a_search_process_that_is_started_again_shows_all_that_the_one_before_it_did(
    both: Both, make_entry: MakeEntry, tmp_path: Path
) -> None:
    _, together, services = both
    _filled(both, make_entry)
    # Of the second shard that is the one that writes.
    for shard, late in ((0, services[1]), (1, services[2])):
        _seldom(late)
        together.add([make_entry(_of(shard))])
    whole = {f"film {number}" for number in range(12)} | {_of(0), _of(1)}
    until(lambda: set(together.found(_text(), 20)[0][0]) == whole)
    for turn in range(4):
        fresh = _again(together, tmp_path / "version")
        for _ in range(turn):
            fresh.search._fleet.turn()  # type: ignore[attr-defined]
        assert set(fresh.found(_text(), 20)[0][0]) == whole
        fresh.search.finalize()


@pytest.mark.parametrize("told", [False, True], ids=["not told", "told"])
@pytest.mark.parametrize("anew", [False, True], ids=["same process", "new process"])
def test_who_searches_waits_for_a_replica_that_follows_where_the_one_that_was_ahead_is_gone(
    both: Both, make_entry: MakeEntry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, anew: bool, told: bool
) -> None:
    # The timer's thread may come late.
    monkeypatch.setattr(calls, "_FOLLOWS_S", 60.0)
    _, together, services = both
    _filled(both, make_entry)
    late = _seldom(services[1])
    together.add([make_entry(_of(0))])
    together.wait(_text())
    services[0].close()
    if told:
        tell(tmp_path / "directory of shards", [services[1:2], services[2:4]])
    kept = _again(together, tmp_path / "version") if anew else together
    timer = threading.Timer(0.3, late.refresh)
    timer.start()
    assert len(kept.found(_text(), 20)[0][0]) == 13
    timer.join()
    if anew:
        kept.search.finalize()
