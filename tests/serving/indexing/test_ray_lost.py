"""``framesift index --ray`` on a real Ray cluster of two nodes, one of which is lost: no video is, or there twice."""

from __future__ import annotations

import json
import logging
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from .conftest import Run, website
from .records import records

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
_NODE = {"num_cpus": 1, "memory": 4 << 30, "object_store_memory": 80 << 20}
TIMES = 100


@pytest.fixture(scope="module")
def nodes() -> Iterator[Any]:
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_worker_niceness", "0")
        # Ray keeps so small results where they were made, as it does with larger ones anyway.
        config = {"max_direct_call_object_size": 100}
        head = {**_NODE, "include_dashboard": False, "_system_config": config}
        made = Cluster(initialize_head=True, head_node_args=head)
        yield made
        made.shutdown()


def _raylet(node: Any) -> Any:
    return node.all_processes["raylet"][0].process


def _worker(node: Any) -> int:
    """The process of an actor of a node that makes videos; 0 where none does."""
    for child in psutil.Process(_raylet(node).pid).children(recursive=True):
        with suppress(psutil.Error):
            if "VideoActor.make" in " ".join(child.cmdline()):
                return child.pid
    return 0


def _lose(node: Any, head: Any, worker: int, *, rows: bool) -> bool:
    """End a node, as if its power went; with rows that are made in the seconds before, since the head takes none.

    By another process: this one waits for the head where it asks for rows. Whether there are such rows: a machine may
    be too busy to make them in time.
    """
    raylet = psutil.Process(_raylet(node).pid)
    ends = f"kill -KILL {' '.join(str(child.pid) for child in (raylet, *raylet.children(recursive=True)))}"
    if rows:
        # It has made what it was given once it has nothing to do.
        works = f"grep -q VideoActor.make /proc/{worker}/cmdline"
        begun = f"begun=1; for n in $(seq 20); do {works} && begun=0 && break; sleep 0.05; done"
        made = f"made=1; for n in $(seq 150); do {works} || {{ made=0; break; }}; sleep 0.05; done"
        stopped = _raylet(head).pid
        ends = f"kill -STOP {stopped}; {begun}; {made}; sleep 1; {ends}; sleep 1; kill -CONT {stopped}"
        ends = f"{ends}; exit $((begun + made))"
    return subprocess.run(["/bin/sh", "-c", ends], check=False).returncode == 0


@pytest.mark.parametrize("where", ["at work", "with rows"])
def test_a_node_that_is_lost_costs_no_video(
    index: Run, films: Path, nodes: Any, where: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="framesift.serving.indexing.ray_dispatch")
    places = TIMES * sorted(films.rglob("*.mp4"))
    second = nodes.add_node(**_NODE)
    lost, works, gone, over = list[bool](), threading.Event(), threading.Event(), threading.Event()
    rows = list[bool]()

    def lose() -> None:
        worker = 0
        while not over.is_set() and not (worker := _worker(second)):
            time.sleep(0.05)
        works.set()
        time.sleep(1)
        lost.append(not over.is_set())
        rows.append(_lose(second, nodes.head_node, worker, rows=where == "with rows"))
        gone.set()

    loser = threading.Thread(target=lose)
    loser.start()
    try:
        # The first film waits for the node that is lost: its actor may come when the other would have made all. The
        # last one waits until it is lost, which may be late.
        with website(films, lambda: works.wait(120)) as first, website(films, lambda: gone.wait(120)) as last:
            paths = [str(place) for place in places]
            paths[0] = f"{first}/{places[0].relative_to(films)}"
            paths[-1] = f"{last}/{places[-1].relative_to(films)}"
            lines = [json.dumps({"path": path, "id": str(number)}) for number, path in enumerate(paths)]
            Path("list.jsonl").write_text("\n".join(lines))
            result = index("list.jsonl", "--ray", nodes.address)
    finally:
        over.set()
        loser.join()
    assert lost == [True], result.stderr
    # Ray says there, too, that its node ended.
    assert result.stdout.splitlines()[-1] == f"{len(places)} indexed, 0 skipped, 0 failed", result.stderr
    # Which looks for ids that are there twice.
    assert len(records(Path("gallery"))) == len(places)
    # How Ray tells of a lost actor depends on what it was at.
    if where == "with rows":
        if rows == [False]:
            pytest.skip("this machine was too busy to make rows in time")
        said = [record.getMessage() for record in caplog.records]
        assert any("rows are gone" in line for line in said), said
