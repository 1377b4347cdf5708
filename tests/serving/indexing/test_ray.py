"""``framesift index --ray``: two actors of a real Ray cluster on this machine."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from framesift.serving.gallery.store import Gallery

from .conftest import FILMS, Run, website
from .records import records

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
Held = tuple[str, threading.Event, threading.Event]


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """The address of a real cluster of one node, which has room for two actors."""
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 2, "memory": 8 << 30, "object_store_memory": 100 << 20, "include_dashboard": False}
    with pytest.MonkeyPatch.context() as patch:
        # Beside other work actors would take minutes to start.
        patch.setenv("RAY_worker_niceness", "0")
        made = Cluster(initialize_head=True, head_node_args=node)
    yield made.address
    made.shutdown()


@pytest.fixture
def held(films: Path) -> Iterator[Held]:
    """A site that has the films and gives them once an actor was killed: where it is, that it was asked, and that."""
    asked, killed = threading.Event(), threading.Event()

    def first() -> None:
        asked.set()
        killed.wait(120)

    with website(films, first) as address:
        yield address, asked, killed


def _kill(over: threading.Event, asked: threading.Event, killed: threading.Event) -> None:
    """Kill an actor that makes videos, once a film was asked for that is held back until then."""
    while not over.is_set() and not killed.is_set():
        for child in psutil.Process().children(recursive=True) if asked.is_set() else ():
            with suppress(psutil.Error):
                if "VideoActor.make" in " ".join(child.cmdline()):
                    child.kill()
                    killed.set()
                    break
        time.sleep(0.02)


def test_records_are_those_of_this_machine_and_a_killed_worker_costs_none(
    index: Run, films: Path, held: Held, cluster: str
) -> None:
    site, asked, killed = held
    (films / "bad.mp4").write_bytes(b"no film")
    names = sorted(str(path.relative_to(films)) for path in films.rglob("*.mp4"))
    # Half of them by the network.
    lines = [
        {"path": f"{site}/{name}" if place % 2 else f"films/{name}", "id": name} for place, name in enumerate(names)
    ]
    lines.append({"path": f"{site}/absent.mp4", "id": "absent"})
    Path("list.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    index("films", gallery="here")
    over = threading.Event()
    killer = threading.Thread(target=_kill, args=(over, asked, killed))
    killer.start()
    try:
        result = index("list.jsonl", "--ray", cluster, "--failures", "failed.jsonl", gallery="there")
    finally:
        over.set()
        killer.join()
    assert killed.is_set()
    # Ray says there, too, that an actor ended.
    assert result.exit_code == 1, result.stderr
    assert result.stdout.splitlines()[-1] == f"{FILMS} indexed, 0 skipped, 2 failed", result.stderr
    here, there = records(Path("here")), records(Path("there"))
    assert here.keys() == there.keys()
    for id_, record in there.items():
        assert record.pop("source").endswith(id_)
        here[id_].pop("source")
        assert record == here[id_]
    failed = {line["id"]: line for line in map(json.loads, Path("failed.jsonl").read_text().splitlines())}
    assert failed.keys() == {"bad.mp4", "absent"}
    assert "unknown or unsupported format" in failed["bad.mp4"]["reason"]
    assert "there is no such file" in failed["absent"]["reason"]

    version = Gallery.existing("there").version
    again = index("list.jsonl", "--ray", cluster, gallery="there")
    assert again.stdout.splitlines()[-1] == f"0 indexed, {FILMS} skipped, 2 failed: the gallery is as it was"
    assert Gallery.existing("there").version == version


def _niceness(over: threading.Event, seen: threading.Event, found: set[int]) -> None:
    """The niceness of actors and of their decoders, as often as it is looked at."""
    while not over.is_set():
        for child in psutil.Process().children(recursive=True):
            with suppress(psutil.Error):
                if "VideoActor" in " ".join(child.cmdline()):
                    decoders = child.children()
                    found.update(one.nice() for one in (child, *decoders))
                    if decoders:
                        seen.set()
        time.sleep(0.05)


def test_actors_of_a_cluster_that_is_started_here_give_way_to_none(index: Run, films: Path) -> None:
    # Enough for calls with several videos.
    places = 10 * list(films.rglob("*.mp4"))
    over, seen, found = threading.Event(), threading.Event(), set[int]()
    watcher = threading.Thread(target=_niceness, args=(over, seen, found))
    watcher.start()
    try:
        # The first film waits until somebody was looked at.
        with website(films, lambda: seen.wait(120)) as site:
            paths = [f"{site}/{places[0].relative_to(films)}", *map(str, places[1:])]
            lines = [json.dumps({"path": path, "id": str(number)}) for number, path in enumerate(paths)]
            Path("list.jsonl").write_text("\n".join(lines))
            result = index("list.jsonl", "--ray", "local")
    finally:
        over.set()
        watcher.join()
    assert result.stdout.splitlines()[-1] == f"{len(places)} indexed, 0 skipped, 0 failed", result.stderr
    assert Gallery.existing("gallery").count == len(places)
    assert found == {psutil.Process().nice()}


def test_a_cluster_that_is_not_there_or_has_no_room_is_told(index: Run, films: Path, cluster: str) -> None:
    none = index("films", "--ray", "127.0.0.1:1")
    assert none.exit_code == 1
    assert "no Ray cluster answers at 127.0.0.1:1" in none.stderr
    full = index("films", "--ray", cluster, "--gpus", 8)
    assert full.exit_code == 1
    assert "no node of the Ray cluster has room for a worker" in full.stderr
    assert "8 GPUs" in full.stderr
