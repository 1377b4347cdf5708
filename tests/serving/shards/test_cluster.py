"""``framesift serve --cluster``: shards as actors of a real Ray cluster of two nodes, behind a real Triton server."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from framesift.export.bundle.errors import DeadlineExceeded, InvalidRequest, ServerUnavailable
from framesift.export.bundle.segments import Cutting
from framesift.export.bundle.store import Bundle
from framesift.serving.client.results import Indexed, SearchResult
from framesift.serving.client.sync import Client
from framesift.serving.gallery.shard import part_of
from framesift.serving.gallery.split import divide, sources_of
from framesift.serving.serve import running
from framesift.serving.shards.cluster import Cluster

from ...waiting import LIMIT_S, until
from .actors_there import actors

pytestmark = [pytest.mark.slow, pytest.mark.server, pytest.mark.timeout(900)]
SHARDS = 3
CLIENTS = 8


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


def _outcome(search: Callable[[], SearchResult]) -> SearchResult | str:
    try:
        return search()
    except (ServerUnavailable, DeadlineExceeded) as error:
        return str(error)


def _whole(client: Client, count: int) -> bool:
    result = _outcome(lambda: client.search("a red square", 1000, partial=True))
    return not isinstance(result, str) and result.missing == () and len(result.hits) == count


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


def test_a_film_in_segments_is_found_once_and_leaves_at_once(sharded: Sharded, server: Any, indexed: list) -> None:
    found = []
    for address in (server.address, sharded.address):
        with Client(address) as client:
            client.wait_searchable(client.index(indexed[2].video, id="cut", segments=Cutting(1, overlap=0.5)))
            plain = client.search(indexed[2].captions[0], 1000)
            apart = client.search(indexed[2].captions[0], 1000, where="id = 'cut'", segments=True)
            assert len(plain.hits) == len(indexed) + 1
            assert len(apart.hits) > 1
            paged = [*client.search_pages(indexed[2].captions[0], 4, where="duration > 0")]
            described = client.describe(["cut"])
            with pytest.raises(InvalidRequest, match="is kept in .* segments"):
                client.search(like="cut")
            # Other segments, and then none, take the place of those that were there.
            again = client.index(indexed[2].video, id="cut", segments=Cutting(2))
            client.wait_searchable(again)
            other = client.search(indexed[2].captions[0], 1000, where="id = 'cut'", segments=True)
            found.append([_hits(plain), _hits(apart), [*map(_hits, paged)], described, _hits(other), again.count])
            removed = client.delete(["cut"])
            client.wait_searchable(Indexed("", removed.version, removed.count))
            assert len(client.search("a red square", 1000).hits) == len(indexed)
    assert found[0] == found[1]


def test_a_killed_shard_is_named_or_an_error_and_comes_back(sharded: Sharded, indexed: list) -> None:
    whole = {clip.video.name for clip in indexed}
    assert len(actors()) == SHARDS
    partial, strict = list[Any](), list[Any]()
    back = threading.Event()

    def search() -> None:
        with Client(sharded.address, retry=False) as client:
            while not back.is_set():
                strict.append(_outcome(lambda: client.search("a red square", 1000)))
                partial.append(client.search("a red square", 1000, partial=True))

    # Many are in the middle of a search.
    threads = [threading.Thread(target=search) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    try:
        until(lambda: len(partial) > 2 * CLIENTS)
        os.kill(actors()[1].pid, signal.SIGKILL)
        until(lambda: any(one.missing for one in [*partial]) and any(isinstance(told, str) for told in [*strict]))
        until(lambda: all(one.missing == () for one in partial[-2 * CLIENTS :]))
    finally:
        back.set()
        for thread in threads:
            thread.join()
    for found in partial:
        lost = {int(name.partition("/")[0]) for name in found.missing}
        assert {hit.id for hit in found.hits} == {id_ for id_ in whole if part_of(id_, SHARDS) not in lost}
    refused = [told for told in strict if isinstance(told, str)]
    assert all("of the gallery" in told and "`partial`" in told for told in refused)
    assert all({hit.id for hit in found.hits} == whole for found in strict if not isinstance(found, str))


def test_shards_of_a_node_that_is_gone_are_searched_on_another(sharded: Sharded, indexed: list) -> None:
    before = {actor.pid for actor in actors()}
    sharded.nodes.remove_node(sharded.second, allow_graceful=False)
    until(lambda: len(actors()) == SHARDS and {actor.pid for actor in actors()} != before)
    with Client(sharded.address, retry=False) as client:
        until(lambda: _whole(client, len(indexed)))
        client.wait_searchable(client.index(indexed[0].video, id="on the other node"), LIMIT_S)
        client.delete(["on the other node"])
