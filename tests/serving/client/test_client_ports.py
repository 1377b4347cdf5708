"""Calls to models that take or tell other tensors than the reference model's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from framesift.export.bundle.errors import InvalidRequest, ServerUnavailable
from framesift.export.bundle.video.noise import selector_noise
from framesift.serving.client import wire
from framesift.serving.client.results import VideoRecord
from framesift.serving.client.search_command import table

Wait = Callable[[int], None]

masked = pytest.mark.parametrize("manifest", [{"mask": True}], indirect=True)
noisy = pytest.mark.parametrize("manifest", [{"mask": True, "noise": (4, 7)}], indirect=True)
floating = pytest.mark.parametrize("manifest", [{"dtype": "float32"}], indirect=True)
silent = pytest.mark.parametrize("manifest", [{"attends": False}], indirect=True)
slow = pytest.mark.parametrize("manifest", [{"attends": False, "scorer": "cross_encoder"}], indirect=True)


def clips(count: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.random.default_rng(count).integers(0, 255, (count, 3, 3, 32, 32), dtype=np.uint8)


@silent
def test_hits_without_attention_have_no_moment(client: Any, wait_for_version: Wait) -> None:
    wait_for_version([client.index(f"{n}".encode(), id=f"v{n}") for n in range(3)][-1].version)
    result = client.search("a query", top=2)
    for hit in result.hits:
        assert (hit.attention, hit.moment) == ((), None)
        assert hit.timestamps == (0.5, 1.5, 2.5)
    told = result.to_dict()["hits"][0]
    assert (told["moment"], told["attention"]) == (None, None)
    assert told["timestamps"] == [0.5, 1.5, 2.5]
    lines = table(result).splitlines()
    assert lines[0].split() == ["rank", "score", "id"]
    assert [line.split()[-1] for line in lines[1:]] == [hit.id for hit in result.hits]
    scores = client.score(["a query"], [client.encode_video(b"0"), client.encode_video(b"1")])
    assert scores.scores.shape == (1, 2)
    assert scores.attention is None


@masked
def test_every_frame_counts_where_no_mask_is_given(client: Any, server: Any) -> None:
    client.encode_frames(clips(9))
    masks = [arrays["mask"] for arrays in server.received]
    assert sorted(mask.shape for mask in masks) == [(1, 3), (8, 3)]
    assert all(mask.dtype == np.float32 and mask.all() for mask in masks)


@masked
@pytest.mark.parametrize("dtype", [np.bool_, np.int64, np.float64])
def test_a_mask_goes_with_its_clip(client: Any, server: Any, dtype: Any) -> None:
    mask = np.array([[1, n % 2, 0] for n in range(9)], dtype)
    client.encode_frames(clips(9), mask)
    for arrays in server.received:
        rows = [int(np.flatnonzero((clips(9) == clip).all((1, 2, 3, 4)))[0]) for clip in arrays["frames"]]
        np.testing.assert_array_equal(arrays["mask"], mask[rows].astype(np.float32))


@masked
@pytest.mark.parametrize(
    ("mask", "said"),
    [
        (np.ones((2, 4)), r"mask has the shape \[2, 4\], the model takes \[-1, 3\]"),
        (np.ones((3, 3)), "2 clips and a mask for 3"),
        (np.ones(3), r"mask has the shape \[3\]"),
        ([[1, 0.5, 0], [1, 1, 1]], "must be 1 for a frame"),
        ([[1, np.nan, 0], [1, 1, 1]], "must be 1 for a frame"),
        ([["1", "0", "0"], ["1", "1", "1"]], "must be 1 for a frame"),
        ([[1, 0, 0], [0, 0, 0]], "without any frame"),
    ],
)
def test_what_is_no_mask_is_not_sent(client: Any, server: Any, mask: Any, said: str) -> None:
    with pytest.raises(InvalidRequest, match=said):
        client.encode_frames(clips(2), mask)
    assert server.requests == []


def test_a_mask_for_a_model_that_takes_none_is_refused(client: Any, server: Any) -> None:
    with pytest.raises(InvalidRequest, match="takes no mask"):
        client.encode_frames(clips(2), np.ones((2, 3)))
    assert server.requests == []


@noisy
def test_noise_is_that_of_the_ids(client: Any, server: Any) -> None:
    ids = ["a", "ünï ☃", "a"]
    client.encode_frames(clips(3), ids=ids)
    (arrays,) = server.received
    np.testing.assert_array_equal(arrays["noise"], np.stack([selector_noise(id_, (3, 4, 7)) for id_ in ids]))
    assert arrays["mask"].all()


@noisy
@pytest.mark.parametrize(
    ("ids", "said"),
    [
        (None, "give ids, one a clip"),
        (["a"], "2 clips and 1 for ids"),
        ("ab", "2 clips and one text for ids"),
        (["a", ""], "the id is empty"),
    ],
)
def test_noise_needs_an_id_a_clip(client: Any, server: Any, ids: Any, said: str) -> None:
    with pytest.raises(InvalidRequest, match=said):
        client.encode_frames(clips(2), ids=ids)
    assert server.requests == []


@noisy
def test_a_video_is_encoded_under_the_id_that_it_would_be_indexed_under(client: Any, server: Any) -> None:
    client.encode_video(b"video")
    client.encode_video(b"video", "ünï")
    indexed = client.index(b"video")
    assert [bytes(arrays["id"][0]).decode() for arrays in server.received] == [indexed.id, "ünï", indexed.id]
    with pytest.raises(InvalidRequest, match="the id is empty"):
        client.encode_video(b"video", "")


def test_an_id_that_no_model_needs_is_not_sent(client: Any, server: Any) -> None:
    client.encode_video(b"video", "an id")
    assert [list(shapes) for _, shapes in server.requests] == [["video"]]
    client.encode_frames(clips(1), ids=["an id"])
    assert list(server.requests[-1][1]) == ["frames"]


@floating
def test_pixels_travel_as_the_model_takes_them(client: Any, server: Any) -> None:
    client.encode_frames(clips(2))
    client.encode_frames(clips(2).astype(np.float32) - 0.25)
    first, second = (arrays["frames"] for arrays in server.received)
    assert first.dtype == second.dtype == np.float32
    np.testing.assert_array_equal(first, clips(2))
    np.testing.assert_array_equal(second, clips(2) - np.float32(0.25))
    with pytest.raises(InvalidRequest, match="are float64, the model takes float32"):
        client.encode_frames(clips(2).astype(np.float64))
    with pytest.raises(InvalidRequest, match=r"frames has the shape \[2, 2, 3, 32, 32\]"):
        client.encode_frames(clips(2)[:, :2])


@slow
def test_a_slow_model_is_sent_as_few_texts_as_it_takes(client: Any, server: Any) -> None:
    texts = [f"query {n}" for n in range(10)]
    assert [result.query for result in client.search_many(texts)] == texts
    assert sorted(shapes["text"][0] for _, shapes in server.requests) == [2, 4, 4]


def test_scores_are_joined_whatever_a_request_may_hold(client: Any, server: Any) -> None:
    records = [client.encode_video(f"{n}".encode()) for n in range(11)]
    texts = [f"text {n}" for n in range(7)]
    whole = client.score(texts, records)
    for most in (1, 4, 13, 30):
        del server.requests[:]
        # What the server tells is read once a client, so the limit is set where it was kept.
        _forget(client)
        server.configs["score_text"].parameters["framesift.max_rows"].string_value = str(most)
        parts = client.score(texts, records)
        np.testing.assert_array_equal(parts.scores, whole.scores)
        np.testing.assert_array_equal(parts.attention, whole.attention)
        pairs = [shapes["text"][0] * shapes["frame_embeddings"][0] for _, shapes in server.requests]
        assert max(pairs) <= most
        assert sum(pairs) == 77


def _forget(client: Any) -> None:
    (client._client if hasattr(client, "_client") else client._calls)._configs.clear()


def test_records_of_many_bytes_are_sent_in_parts(client: Any, server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    records = [client.encode_video(f"{n}".encode()) for n in range(5)]
    whole = client.score(["x", "y"], records)
    monkeypatch.setattr(wire, "RECORD_BYTES_PER_CALL", 2 * 3 * 8 * 4)
    del server.requests[:]
    np.testing.assert_array_equal(client.score(["x", "y"], records).scores, whole.scores)
    assert sorted(shapes["frame_embeddings"][0] for _, shapes in server.requests) == [1, 2, 2]


def test_no_server_is_said_to_be_none_before_its_models_are_known(make_client: Callable[..., Any]) -> None:
    client = make_client("127.0.0.1:1")
    for call in (
        lambda: client.encode_frames(clips(1)),
        lambda: client.encode_video(b"x"),
        lambda: client.search("x"),
        lambda: client.score(["x"], [VideoRecord({})]),
    ):
        with pytest.raises(ServerUnavailable, match="framesift serve"):
            call()
