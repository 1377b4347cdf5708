"""Candidates of a search at the door and in the client: what is sent, and what is refused."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from framesift.export.bundle.errors import InvalidRequest
from framesift.export.bundle.limits import MAX_CANDIDATE_BYTES, MAX_CANDIDATES
from framesift.export.bundle.manifest import TokenizerProfile
from framesift.export.bundle.packing import pack_joined
from framesift.export.bundle.text.merges_file import clip_merges
from framesift.export.bundle.text.tokenizers import load_tokenizer
from framesift.serving.client.wire import search_calls
from framesift.serving.front.describing import config, metadata
from framesift.serving.front.fair_queue import Entry
from framesift.serving.front.requests import read_request
from framesift.serving.front.texts import Encoder, candidate_tensors, read_candidates

from .requests_of import Arrays, request, search
from .test_requests import PUBLIC

NOBODY = {"candidates": np.zeros((1, 1), np.uint8), "candidate_lengths": np.zeros((1, 0), np.int32)}


def named(ids: list[str], rows: int = 1) -> Arrays:
    joined, lengths = pack_joined([id_.encode() for id_ in ids])
    return {"candidates": np.repeat(joined[None], rows, 0), "candidate_lengths": np.repeat(lengths[None], rows, 0)}


def read(arrays: Arrays) -> tuple[str, ...]:
    return read_candidates({name: array.tobytes() for name, array in arrays.items()}, len(arrays["top"]))


def test_candidates_may_come_and_come_whole() -> None:
    public = PUBLIC["search"]
    arrays = search((b"one", b"another"))
    assert read(arrays) == ()
    assert read_request(request("search", arrays), public).shape("top") == (2, 1)
    among = {**arrays, **named(["b", "an \u00e9", "c"], 2)}
    assert read_request(request("search", among), public).shape("candidate_lengths") == (2, 3)
    assert read(among) == ("b", "an \u00e9", "c")
    for missing in ("candidates", "candidate_lengths"):
        part = {name: array for name, array in among.items() if name != missing}
        with pytest.raises(InvalidRequest, match=f"needs the inputs {missing}$"):
            read_request(request("search", part), public)
    optional = {port["name"] for port in config(public)["input"] if port.get("optional")}
    assert optional == {"candidates", "candidate_lengths"} <= {port["name"] for port in metadata(public)["inputs"]}


def _lengths(*values: int) -> Arrays:
    return {"candidates": np.full((1, 4), ord("a"), np.uint8), "candidate_lengths": np.array([values], np.int32)}


@pytest.mark.parametrize(
    ("arrays", "fault"),
    [
        (_lengths(3), "4 bytes, their lengths add up to 3"),
        (_lengths(5, -1), "negative length"),
        (_lengths(4, 0), "id"),
        (NOBODY, "names 0 candidates"),
        (_lengths(*[1] * 4, *[0] * MAX_CANDIDATES), f"names {MAX_CANDIDATES + 4} candidates, the limit is"),
        (named(["a" * 1025]), "1024"),
        ({**named(["a"]), "candidates": np.array([[0xFF]], np.uint8)}, "UTF-8"),
    ],
)
def test_what_names_no_videos_is_refused(arrays: Arrays, fault: str) -> None:
    with pytest.raises(InvalidRequest, match=fault):
        read({**search(), **arrays})


def test_all_texts_have_the_same_candidates() -> None:
    arrays = {**search((b"one", b"two")), **named(["a", "b"], 2)}
    arrays["candidates"][1, 0] += 1
    with pytest.raises(InvalidRequest, match="same candidates"):
        read(arrays)


def test_what_goes_upstream_can_be_read_there() -> None:
    for ids in ((), ("b", "an \u00e9")):
        joined, lengths = candidate_tensors(ids, 3)
        assert joined.shape[0] == lengths.shape[0] == 3
        assert len(joined.raw) == int(np.prod(joined.shape))
        assert np.frombuffer(lengths.raw, "<i4").reshape(lengths.shape)[2].tolist() == [
            len(id_.encode()) for id_ in ids or ("",)
        ]


def test_only_searches_of_the_same_candidates_go_together() -> None:
    async def keys() -> list[tuple]:
        loop = asyncio.get_running_loop()
        entries = [Entry("a", np.zeros((1, 16), np.int64), 5, 0.0, loop.create_future()) for _ in range(3)]
        entries[1].candidates = entries[2].candidates = ("v1",)
        return [entry.key for entry in entries]

    everything, one, same = asyncio.run(keys())
    assert one == same != everything


@pytest.mark.parametrize(
    ("ids", "fault"),
    [
        ([], "1 to 4096 candidates, it was given 0"),
        (["a"] * (MAX_CANDIDATES + 1), "it was given 4097"),
        ("abc", "candidates"),
        (["a", ""], "id"),
        (["a", 3], "id"),
    ],
)
def test_the_client_refuses_what_can_not_be_right(ids: list, fault: str) -> None:
    with pytest.raises(InvalidRequest, match=fault):
        search_calls([b"text"], 5, 8, ids)


def test_of_long_ids_fewer_texts_go_together() -> None:
    ids = [f"{number:01024}" for number in range(1024)]
    sizes = [call.inputs[0].shape()[0] for call in search_calls([b"text"] * 9, 5, 8, ids)]
    assert sizes == [4, 4, 1]
    assert [call.inputs[0].shape()[0] for call in search_calls([b"text"] * 9, 5, 8, ["v1"])] == [8, 1]
    (call,) = search_calls([b"text"], 5, 8, [f"{number:01024}" for number in range(MAX_CANDIDATES)])
    assert [tensor.shape() for tensor in call.inputs if tensor.name() == "candidates"] == [[1, MAX_CANDIDATE_BYTES]]


def test_others_have_their_turns_while_many_ids_are_read() -> None:
    arrays = {**search(), **named([f"{number:0500}" for number in range(MAX_CANDIDATES)])}
    raw = {name: array.tobytes() for name, array in arrays.items()}
    encoder = Encoder(load_tokenizer(TokenizerProfile(files=(clip_merges().name,)), clip_merges().parent))

    async def turns() -> int:
        reading, count = asyncio.ensure_future(encoder.candidates(raw, 1)), 0
        while not reading.done():
            await asyncio.sleep(0)
            count += 1
        assert len(reading.result()) == MAX_CANDIDATES
        return count

    assert asyncio.run(turns()) > 1


def test_the_client_sends_what_the_door_reads() -> None:
    first, second = search_calls([b"one", b"two", b"three"], 5, 2, ["v1", "v2"])
    for call, rows in ((first, 2), (second, 1)):
        sent = {tensor.name(): tensor.shape() for tensor in call.inputs}
        assert sent["candidates"] == [rows, 4]
        assert sent["candidate_lengths"] == [rows, 2]
    assert {tensor.name() for tensor in search_calls([b"one"], 5, 2)[0].inputs} == {"text", "text_length", "top"}
