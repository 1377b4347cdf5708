"""``framesift serve --cluster``: shards as actors of a real Ray cluster of two nodes, behind a real Triton server."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from framesift.export.bundle.errors import DeadlineExceeded, ServerUnavailable
from framesift.export.bundle.store import Bundle
from framesift.serving.client.results import Indexed, SearchResult
from framesift.serving.client.sync import Client
from framesift.serving.gallery.shard import part_of
from framesift.serving.gallery.split import divide, sources_of
from framesift.serving.serve import running
from framesift.serving.shards.cluster import Cluster

pytestmark = [pytest.mark.slow, pytest.mark.server, pytest.mark.timeout(900)]
SHARDS = 3
# Other tests may have all processors.
_BACK_S = 240.0


@dataclass
class Sharded:
    """A served gallery in shards, and the nodes on which they may be."""

    address: str
    nodes: Any
    second: Any


@pytest.fixture(scope="module")
def sharded(
    server: Any, indexed: list, gallery_folder: Path, bundle: Bundle, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Sharded]:
    """The session's gallery in three shards, on a cluster of two nodes which have room for all of them each."""
    from ray.cluster_utils import Cluster as Nodes

    folder = tmp_path_factory.mktemp("shards") / "three"
    # What other tests of the session have left.
    own = {clip.video.name for clip in indexed}
    with Client(server.address) as client:
        if others := [video.id for video in client.videos() if video.id not in own]:
            removed = client.delete(others)
            client.wait_searchable(Indexed("", removed.version, removed.count))
    divide(sources_of(gallery_folder), folder, SHARDS, lambda rows: None)
    node = {"num_cpus": SHARDS, "memory": 4 << 30, "object_store_memory": 80 << 20, "include_dashboard": False}
    nodes = Nodes(initialize_head=True, head_node_args=node)
    try:
        second = nodes.add_node(**{name: value for name, value in node.items() if name != "include_dashboard"})
        cluster = Cluster(nodes.address, deadline_s=20)
        with running(bundle, folder, cluster=cluster) as served:
            yield Sharded(served.address, nodes, second)
    finally:
        nodes.shutdown()


def _hits(result: SearchResult) -> list[Any]:
    return [(hit.id, hit.score, hit.attention, hit.timestamps, hit.metadata, hit.source) for hit in result.hits]


def _wait(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _BACK_S
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def _whole(client: Client, count: int) -> bool:
    result = client.search("a red square", 1000, partial=True)
    return result.missing == () and len(result.hits) == count


def test_answers_are_those_of_one_server(sharded: Sharded, server: Any, indexed: list) -> None:
    with Client(server.address) as one, Client(sharded.address) as all_:
        for clip in indexed[:8]:
            found = [client.search(clip.captions[0], 1000) for client in (one, all_)]
            assert _hits(found[0]) == _hits(found[1])
            assert found[0].among == found[1].among == len(indexed)
            assert found[1].missing is None
        texts = [clip.captions[0] for clip in indexed]
        plain = [client.search_many(texts, 3, facts=False) for client in (one, all_)]
        assert [*map(_hits, plain[0])] == [*map(_hits, plain[1])]
        paged = [[*client.search_pages(texts[0], 5, where="duration > 0")] for client in (one, all_)]
        assert [*map(_hits, paged[0])] == [*map(_hits, paged[1])]
        some = [clip.video.name for clip in indexed[3:9]]
        named = [client.search(texts[1], 4, candidates=some) for client in (one, all_)]
        assert _hits(named[0]) == _hits(named[1])
        assert [*one.videos()] == [*all_.videos()]
        assert one.list_videos(7).videos == all_.list_videos(7).videos
        assert one.served().count == all_.served().count == len(indexed)
        assert one.lookup(some).digests == all_.lookup(some).digests


def test_videos_come_and_go(sharded: Sharded, indexed: list) -> None:
    with Client(sharded.address) as client:
        ids = [f"again {number}" for number in range(4)]
        for id_ in ids:
            last = client.index(indexed[0].video, id=id_, metadata={"round": 1})
            client.wait_searchable(last)
            assert id_ in [hit.id for hit in client.search("a", 1000).hits]
        assert last.count == len(indexed) + len(ids)
        twins = [hit.id for hit in client.search(indexed[0].captions[0], 1000).hits if hit.id.startswith("again")]
        # The same file, and so the same score: in the order of indexing.
        assert twins == ids
        changed = client.update({ids[0]: {"round": 2}})
        client.wait_searchable(Indexed("", changed.version, changed.count))
        assert [hit.id for hit in client.search("a", where="round = 2").hits] == ids[:1]
        removed = client.delete(ids)
        assert removed.changed == tuple(ids)
        client.wait_searchable(Indexed("", removed.version, removed.count))
        assert _whole(client, len(indexed))


def _actors() -> list[psutil.Process]:
    found = []
    for child in psutil.Process().children(recursive=True):
        try:
            if "_Actor" in " ".join(child.cmdline()):
                found.append(child)
        except psutil.Error:
            continue
    return found


def _outcome(search: Callable[[], SearchResult]) -> SearchResult | str:
    try:
        return search()
    except (ServerUnavailable, DeadlineExceeded) as error:
        return str(error)


def test_a_killed_shard_is_named_or_an_error_and_comes_back(sharded: Sharded, indexed: list) -> None:
    whole = {clip.video.name for clip in indexed}
    assert len(_actors()) == SHARDS
    with Client(sharded.address, retry=False) as client:
        os.kill(_actors()[1].pid, signal.SIGKILL)
        partial, strict = list[Any](), list[Any]()
        deadline = time.monotonic() + _BACK_S
        while not (partial and partial[-1].missing == () and any(one.missing for one in partial)):
            assert time.monotonic() < deadline
            strict.append(_outcome(lambda: client.search("a red square", 1000)))
            partial.append(client.search("a red square", 1000, partial=True))
        for found in partial:
            lost = {int(name.partition("/")[0]) for name in found.missing}
            assert {hit.id for hit in found.hits} == {id_ for id_ in whole if part_of(id_, SHARDS) not in lost}
        refused = [told for told in strict if isinstance(told, str)]
        assert refused
        assert all("of the gallery" in told and "`partial`" in told for told in refused)
        assert all({hit.id for hit in found.hits} == whole for found in strict if not isinstance(found, str))


def test_shards_of_a_node_that_is_gone_are_searched_on_another(sharded: Sharded, indexed: list) -> None:
    before = {actor.pid for actor in _actors()}
    sharded.nodes.remove_node(sharded.second, allow_graceful=False)
    _wait(lambda: len(_actors()) == SHARDS and {actor.pid for actor in _actors()} != before)
    with Client(sharded.address, retry=False) as client:
        _wait(lambda: _whole(client, len(indexed)))
        client.wait_searchable(client.index(indexed[0].video, id="on the other node"))
        client.delete(["on the other node"])
