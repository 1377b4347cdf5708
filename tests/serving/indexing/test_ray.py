"""``framesift index --ray``: two actors of a real Ray cluster on this machine."""

from __future__ import annotations

import http.server
import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import psutil
import pytest

from framesift.serving.gallery.store import Gallery

from .conftest import FILMS, Run
from .records import records

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """The address of a real cluster of one node, which has room for two actors."""
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 2, "memory": 8 << 30, "object_store_memory": 100 << 20, "include_dashboard": False}
    made = Cluster(initialize_head=True, head_node_args=node)
    yield made.address
    made.shutdown()


@pytest.fixture
def website(films: Path) -> Iterator[str]:
    """The films' folder as a web server has it."""
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(films))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def _killed(over: threading.Event, killed: set[int]) -> None:
    """Kill an actor while it has videos: once two of them have decoders at work."""
    while not over.is_set() and not killed:
        for child in psutil.Process().children(recursive=True):
            try:
                if "_Actor" in " ".join(child.cmdline()) and child.children():
                    time.sleep(0.1)
                    os.kill(child.pid, signal.SIGKILL)
                    killed.add(child.pid)
                    break
            except psutil.Error:
                continue
        time.sleep(0.02)


def test_records_are_those_of_this_machine_and_a_killed_worker_costs_none(
    index: Run, films: Path, website: str, cluster: str
) -> None:
    (films / "bad.mp4").write_bytes(b"no film")
    names = sorted(str(path.relative_to(films)) for path in films.rglob("*.mp4"))
    # Half of them by the network.
    lines = [
        {"path": f"{website}/{name}" if place % 2 else f"films/{name}", "id": name} for place, name in enumerate(names)
    ]
    lines.append({"path": f"{website}/absent.mp4", "id": "absent"})
    Path("list.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    index("films", gallery="here")
    over, killed = threading.Event(), set[int]()
    killer = threading.Thread(target=_killed, args=(over, killed))
    killer.start()
    try:
        result = index("list.jsonl", "--ray", cluster, "--failures", "failed.jsonl", gallery="there")
    finally:
        over.set()
        killer.join()
    assert killed
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
    assert again.stdout == f"0 indexed, {FILMS} skipped, 2 failed: the gallery is as it was\n"
    assert Gallery.existing("there").version == version


def test_a_cluster_that_is_not_there_or_has_no_room_is_told(index: Run, films: Path, cluster: str) -> None:
    none = index("films", "--ray", "127.0.0.1:1")
    assert none.exit_code == 1
    assert "no Ray cluster answers at 127.0.0.1:1" in none.stderr
    full = index("films", "--ray", cluster, "--gpus", 8)
    assert full.exit_code == 1
    assert "no node of the Ray cluster has room for a worker" in full.stderr
    assert "8 GPUs" in full.stderr
