"""Every call of both clients, over gRPC, against what the server holds."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from framesift.export.bundle.errors import (
    DeadlineExceeded,
    InvalidQuery,
    InvalidRequest,
    InvalidVideo,
    ServerUnavailable,
)
from framesift.export.bundle.ports import FRAME_EMBEDDINGS, MEAN_EMBEDDING
from framesift.serving.client.results import VideoRecord

Wait = Callable[[int], None]


def _ids(result: Any) -> list[str]:
    return [hit.id for hit in result.hits]


def test_an_indexed_video_is_found_with_its_moment(client: Any, wait_for_version: Wait) -> None:
    indexed = [client.index(f"video {n}".encode(), id=f"v{n}") for n in range(12)]
    assert [i.id for i in indexed] == [f"v{n}" for n in range(12)]
    assert [i.count for i in indexed] == list(range(1, 13))
    wait_for_version(indexed[-1].version)
    result = client.search("a query", top=5)
    assert result.query == "a query"
    assert result.version == indexed[-1].version
    records = [client.encode_video(f"video {n}".encode()) for n in range(12)]
    scores = client.score(["a query"], records)
    assert scores.scores.shape == (1, 12)
    assert scores.attention.shape == (1, 12, 3)
    best = np.argsort(-scores.scores[0])[:5]
    assert _ids(result) == [f"v{n}" for n in best]
    # The gallery keeps float16.
    np.testing.assert_allclose([hit.score for hit in result.hits], scores.scores[0, best], rtol=3e-3)
    for hit, n in zip(result.hits, best, strict=True):
        assert hit.timestamps == (0.5, 1.5, 2.5)
        assert hit.moment == hit.timestamps[int(scores.attention[0, n].argmax())]
        assert sum(hit.attention) == 1.0


def test_many_queries_are_sent_together_and_answered_in_order(client: Any, server: Any, wait_for_version: Wait) -> None:
    wait_for_version([client.index(f"{n}".encode(), id=f"ü{n}") for n in range(3)][-1].version)
    texts = [f"query {'é' * n} {n}" for n in range(70)]
    results = client.search_many(texts, top=2)
    assert [result.query for result in results] == texts
    sent = sorted(shapes["text"][0] for model, shapes in server.requests if model == "search")
    assert sent == [6, 32, 32]
    assert [_ids(result) for result in results[::9]] == [_ids(client.search(text, top=2)) for text in texts[::9]]
    assert client.search_many([], top=2) == []


def test_an_empty_gallery_gives_no_hits(client: Any) -> None:
    assert client.search("anything").hits == ()


def test_a_files_name_is_its_id_and_its_facts_are_kept(client: Any, server: Any, tmp_path: Path) -> None:
    path = tmp_path / "Ein Hund ☃.mp4"
    path.write_bytes(b"a dog")
    indexed = client.index(path, metadata={"title": "Ünï", "year": 1999})
    assert indexed.id == "Ein Hund ☃.mp4"
    (row,) = server.index.gallery.reader().batches(["source", "metadata", "digest", "duration"], -1)
    assert row.column("source").to_pylist() == [str(path)]
    assert json.loads(row.column("metadata").to_pylist()[0]) == {"title": "Ünï", "year": 1999}
    assert row.column("digest").to_pylist() == [hashlib.sha256(b"a dog").digest()]
    assert row.column("duration").to_pylist() == [3.0]


def test_bytes_are_called_by_their_digest_and_have_no_source(client: Any, server: Any) -> None:
    digest = hashlib.sha256(b"bytes")
    assert client.index(b"bytes").id == digest.hexdigest()
    assert client.lookup([digest.hexdigest()]).digests == {digest.hexdigest(): digest.digest()}
    (row,) = server.index.gallery.reader().batches(["source", "metadata"], -1)
    assert row.column("source").to_pylist() == [""]
    assert row.column("metadata").to_pylist() == ["{}"]


def test_lookup_tells_what_is_there(client: Any, server: Any) -> None:
    client.index(b"one", id="one")
    ids = [f"absent {n}" for n in range(5000)]
    found = client.lookup([*ids, "one"])
    assert found.digests == {"one": hashlib.sha256(b"one").digest()}
    assert (found.count, found.version) == (1, server.index.gallery.version)
    nothing = client.lookup([])
    assert (dict(nothing.digests), nothing.count) == ({}, 1)


def test_clips_are_encoded_in_order(client: Any, server: Any) -> None:
    frames = np.random.default_rng(0).integers(0, 255, (11, 3, 3, 32, 32), dtype=np.uint8)
    records = client.encode_frames(frames)
    assert sorted(shapes["frames"][0] for _, shapes in server.requests) == [3, 8]
    assert len(records) == 11
    for clip, record in zip(frames, records, strict=True):
        (alone,) = client.encode_frames(clip[None])
        np.testing.assert_array_equal(record.tensors[FRAME_EMBEDDINGS], alone.tensors[FRAME_EMBEDDINGS])
        assert record.tensors[MEAN_EMBEDDING].shape == (8,)
        assert record.timestamps is record.duration is None


def test_scores_of_many_texts_are_joined(client: Any) -> None:
    records = [client.encode_video(f"{n}".encode()) for n in range(4)]
    texts = [f"text {n}" for n in range(40)]
    scores = client.score(texts, records)
    assert scores.scores.shape == (40, 4)
    np.testing.assert_array_equal(scores.scores[37], client.score([texts[37]], records).scores[0])


@pytest.mark.parametrize(
    ("call", "kind", "said"),
    [
        (lambda c: c.search("  "), InvalidQuery, "the text is empty"),
        (lambda c: c.search("x" * 70000), InvalidQuery, "the limit is 65536"),
        (lambda c: c.search("\ud800"), InvalidQuery, "UTF-8"),
        (lambda c: c.search("x", top=0), InvalidRequest, "top is 0"),
        (lambda c: c.search("x", top=1001), InvalidRequest, "1..1000"),
        (lambda c: c.search_many("x"), InvalidQuery, "give a list"),
        (lambda c: c.lookup("x"), InvalidRequest, "give a list"),
        (lambda c: c.index(b""), InvalidVideo, "the file is empty"),
        (lambda c: c.index("/no/such.mp4"), InvalidVideo, "/no/such.mp4 can't be read: No such file"),
        (lambda c: c.index("/"), InvalidVideo, "/ is not a file"),
        (lambda c: c.index(b"x", id="a\n"), InvalidRequest, "id"),
        (lambda c: c.index(b"x", id=""), InvalidRequest, "id is empty"),
        (lambda c: c.index(b"x", source="a\0"), InvalidRequest, "source"),
        (lambda c: c.index(b"x", metadata={"a": {1, 2}}), InvalidRequest, "JSON"),
        (lambda c: c.lookup([" a"]), InvalidRequest, "white space"),
        (
            lambda c: c.encode_frames(np.zeros((3, 3, 32, 32), np.uint8)),
            InvalidRequest,
            r"frames has the shape \[3, 3, 32, 32\]",
        ),
        (
            lambda c: c.encode_frames(np.zeros((1, 3, 3, 32, 32), np.float32)),
            InvalidRequest,
            "are float32, the model takes uint8",
        ),
        (lambda c: c.score(["x"], []), InvalidRequest, "got 1 and 0"),
        (lambda c: c.score(["x"], [VideoRecord({})]), InvalidRequest, "'frame_embeddings'"),
    ],
)
def test_what_can_not_be_right_is_not_sent(
    client: Any, server: Any, call: Callable[[Any], Any], kind: type[Exception], said: str
) -> None:
    with pytest.raises(kind, match=said):
        call(client)
    assert server.requests == []


def test_records_of_different_shapes_are_refused(client: Any) -> None:
    records = [VideoRecord({FRAME_EMBEDDINGS: np.zeros((frames, 8), np.float32)}) for frames in (3, 4)]
    with pytest.raises(InvalidRequest, match="don't fit one another"):
        client.score(["x"], records)


def test_a_video_over_the_limit_is_refused_before_it_is_read(client: Any, tmp_path: Path) -> None:
    with (tmp_path / "large.mp4").open("wb") as stream:
        stream.truncate(2**40)
    with pytest.raises(InvalidVideo, match="the video has 1099511627776 bytes, the limit is 268435456"):
        client.index(tmp_path / "large.mp4")


def test_a_large_video_passes(client: Any) -> None:
    assert client.encode_video(bytes(40 * 2**20)).duration == 3.0


def test_the_servers_error_arrives_as_itself(client: Any) -> None:
    with pytest.raises(InvalidVideo, match=r"^the file is not a video$"):
        client.index(b"bad", id="x")
    assert client.lookup(["x"]).digests == {}


def test_a_slow_answer_is_a_deadline(make_client: Callable[..., Any], address: str, server: Any) -> None:
    client = make_client(address, timeout_s=0.2)
    with pytest.raises(DeadlineExceeded, match=r"within 0\.2 s"):
        client.encode_video(b"slow")
    with pytest.raises(DeadlineExceeded, match=r"within 0\.1 s"):
        client.encode_video(b"slow", timeout_s=0.1)
    server.patient.set()
    assert client.encode_video(b"slow", timeout_s=60).duration == 3.0


def test_a_full_queue_is_said_to_be_one(make_client: Callable[..., Any], address: str, server: Any) -> None:
    client = make_client(address, retry=False)
    server.busy_answers = 1
    with pytest.raises(ServerUnavailable, match=r"is overloaded, try again"):
        client.index(b"busy")
    assert client.index(b"busy").count == 1


def test_a_refused_search_is_tried_again(client: Any, server: Any) -> None:
    server.full_answers = 2
    assert client.search("a query").hits == ()
    searches = [name for name, _ in server.requests if name == "search"]
    assert len(searches) == 3


def test_a_refusal_is_raised_where_nothing_is_tried_again(
    make_client: Callable[..., Any], address: str, server: Any
) -> None:
    server.full_answers = 1
    client = make_client(address, retry=False)
    with pytest.raises(ServerUnavailable, match=r"searching for 32 texts already"):
        client.search("a query")
    assert client.search("a query").hits == ()


def test_no_server_is_said_to_be_none(make_client: Callable[..., Any]) -> None:
    client = make_client("127.0.0.1:1")
    assert client.ready() is False
    for call in (
        lambda: client.search("x"),
        lambda: client.lookup([]),
        lambda: client.score(["x"], [VideoRecord({})]),
    ):
        with pytest.raises(ServerUnavailable, match=r"127\.0\.0\.1:1 \(is `framesift serve` running\?\)"):
            call()
    with pytest.raises(ServerUnavailable, match=r"not ready within 0\.3 s"):
        client.wait_ready(0.3)


def test_waiting_ends_when_the_server_is_ready(client: Any, server: Any) -> None:
    server.is_ready = False
    assert client.ready() is False
    with pytest.raises(ServerUnavailable):
        client.wait_ready(0.2)
    server.is_ready = True
    assert client.ready() is True
    client.wait_ready(60)
