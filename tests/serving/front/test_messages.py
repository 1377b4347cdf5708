"""gRPC's messages out of a body in parts, and large requests into shared memory as they arrive."""

from __future__ import annotations

import asyncio
import gzip
import os
import random
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tritonclient.grpc import service_pb2 as pb

from framesift.export.bundle.errors import InvalidRequest, ServerUnavailable
from framesift.export.bundle.packing import pack_joined
from framesift.serving.front.arena import Arena
from framesift.serving.front.asgi import Event, Receive
from framesift.serving.front.deployment import public_models
from framesift.serving.front.fields import LEAST, beside
from framesift.serving.front.jobs import _ARRIVING, Job, Jobs
from framesift.serving.front.messages import SMALL_BYTES, Messages
from framesift.serving.front.record import Record
from framesift.serving.front.status import ClientGone, Code, Refusal
from framesift.serving.front.texts import read_candidates
from framesift.serving.front.tokens import Caller
from framesift.serving.front.uploads import TENSORS
from framesift.serving.repository.render import reference_manifest

from ...waiting import until_async
from .requests_of import body, framed, request, search

PUBLIC = public_models(reference_manifest())
NAME = f"framesift-test-{os.getpid()}"
SLOT = 8 << 20


@pytest.fixture
def arena() -> Iterator[Arena]:
    arena = Arena(NAME, 2, 2, SLOT, 2 * SLOT)
    yield arena
    arena.close()
    Path("/dev/shm", arena.region).unlink()


async def read_all(messages: Messages) -> list[bytes]:
    found = []
    while (prefix := await messages.begin()) is not None:
        found.append(await messages.whole(prefix))
    return found


def cut(whole: bytes, random_: random.Random, parts: int) -> list[bytes]:
    """``whole`` in so many parts, some of them empty."""
    edges = sorted(random_.randint(0, len(whole)) for _ in range(parts - 1))
    return [whole[start:end] for start, end in zip([0, *edges], [*edges, len(whole)], strict=True)]


@pytest.mark.parametrize("seed", range(20))
def test_messages_are_the_same_however_they_arrive(seed: int) -> None:
    random_ = random.Random(seed)
    sent = [random_.randbytes(random_.choice((0, 1, 7, 300, 70_000))) for _ in range(5)]
    parts = cut(framed(*sent), random_, random_.choice((1, 3, 40)))
    assert asyncio.run(read_all(Messages(body(parts)))) == sent


@pytest.mark.parametrize(
    ("raw", "code", "said"),
    [
        (b"\0\0", Code.INVALID_ARGUMENT, "within a message's prefix"),
        (framed(b"whole")[:-1], Code.INVALID_ARGUMENT, "within a message"),
        (b"\2" + framed(b"x")[1:], Code.INVALID_ARGUMENT, "begins with 2"),
        (b"\0\xff\xff\xff\xff", Code.RESOURCE_EXHAUSTED, "4294967295 bytes"),
        (b"\1" + framed(b"not deflated")[1:], Code.UNIMPLEMENTED, "gzip or deflate"),
    ],
)
def test_a_body_that_is_not_as_grpc_says_is_refused(raw: bytes, code: Code, said: str) -> None:
    with pytest.raises(Refusal, match=said) as caught:
        asyncio.run(read_all(Messages(body([raw]))))
    assert caught.value.code is code


def test_a_client_that_leaves_ends_the_reading() -> None:
    with pytest.raises(ClientGone):
        asyncio.run(read_all(Messages(body([framed(b"half of it")[:8]], leaves=True))))


@pytest.mark.parametrize(("encoding", "deflate"), [(b"gzip", gzip.compress), (b"deflate", zlib.compress)])
def test_messages_are_inflated_up_to_the_limit(encoding: bytes, deflate) -> None:
    def compressed(raw: bytes) -> list[bytes]:
        return [b"\1" + framed(deflate(raw))[1:]]

    assert asyncio.run(read_all(Messages(body(compressed(b"a" * 100_000)), encoding))) == [b"a" * 100_000]
    with pytest.raises(Refusal, match="send it uncompressed"):
        asyncio.run(read_all(Messages(body(compressed(bytes(SMALL_BYTES + 1))), encoding)))
    with pytest.raises(Refusal, match="can't be inflated"):
        asyncio.run(read_all(Messages(body([b"\1" + framed(b"junk")[1:]]), encoding)))


async def receive(raw: bytes, parts: list[bytes], arena: Arena) -> tuple[Job, bytes]:
    """The job that a body holds, and the bytes of its first input that lies in shared memory."""
    messages = Messages(body(parts))
    prefix = await messages.begin()
    assert prefix is not None
    job = await Jobs(PUBLIC, arena).receive(messages, prefix, Caller("test"), Record("ModelInfer"))
    async with job.held:
        stored = next((tensor for tensor in job.tensors if tensor.region), None)
        if stored is None:
            return job, b""
        with Path("/dev/shm", arena.region).open("rb") as file:
            file.seek(stored.offset)
            return job, file.read(stored.size)


def large(size: int = 5 << 20) -> pb.ModelInferRequest:
    """A video that is too large to be put together in memory."""
    video = np.frombuffer(random.Random(size).randbytes(size), np.uint8)[None]
    return request("encode_video", {"video": video}, id="a name")


@pytest.mark.parametrize("seed", range(5))
def test_a_large_request_is_the_same_however_it_arrives(seed: int, arena: Arena) -> None:
    random_ = random.Random(seed)
    whole = large()
    raw = framed(whole.SerializeToString())
    job, stored = asyncio.run(receive(raw, cut(raw, random_, random_.choice((1, 4, 300))), arena))
    assert stored == whole.raw_input_contents[0]
    assert (job.public.name, job.asked.id, job.asked.shape("video")) == ("encode_video", "a name", (1, len(stored)))


def test_small_tensors_travel_with_a_large_request(arena: Arena) -> None:
    port = PUBLIC["score_text"].inputs
    arrays = {
        "text": search()["text"],
        "text_length": search()["text_length"],
        "frame_vectors": np.ones((200, *port["frame_vectors"].shape[1:]), np.float32),
        "gram_table": np.ones((200, *port["gram_table"].shape[1:]), np.float32),
    }
    raw = framed(request("score_text", arrays).SerializeToString())
    assert len(raw) > SMALL_BYTES
    job, stored = asyncio.run(receive(raw, [raw], arena))
    assert stored == arrays["frame_vectors"].tobytes()
    assert [bool(tensor.region) for tensor in job.tensors] == [False, False, True, True]
    assert job.tensors[0].raw == arrays["text"].tobytes()


def test_many_candidates_reach_the_door_whole(arena: Arena) -> None:
    ids = [f"{number:0900}" for number in range(4096)]
    joined, lengths = pack_joined([id_.encode() for id_ in ids])
    raw = framed(
        request(
            "search", {**search(), "candidates": joined[None], "candidate_lengths": lengths[None]}
        ).SerializeToString()
    )
    assert len(raw) > SMALL_BYTES
    job, _ = asyncio.run(receive(raw, [raw], arena))
    assert read_candidates({tensor.name: tensor.raw for tensor in job.tensors}, 1) == tuple(ids)


def typed() -> pb.ModelInferRequest:
    made = request("search", search())
    del made.raw_input_contents[:]
    made.inputs[0].contents.uint_contents.extend([1] * (1 << 20))
    return made


@pytest.mark.parametrize(
    "message",
    [
        b"\x2a\0" * (1 << 20),
        b"\x22\0" * 40_000,
        b"\x32\0" * 40_000,
        b"\x3a\0" * (1 << 20),
        b"\x0b\x0c" + b"\x2a\0" * (1 << 20),
        typed().SerializeToString(),
    ],
    ids=["inputs", "parameters", "outputs", "tensors", "behind a group", "typed contents"],
)
def test_what_takes_long_to_read_is_refused_before_it_is_read(message: bytes, arena: Arena) -> None:
    with pytest.raises(InvalidRequest, match="send those as raw_input_contents"):
        asyncio.run(receive(framed(message), [framed(message)], arena))


@pytest.mark.parametrize("seed", range(20))
def test_fields_beside_the_tensors_are_counted_as_protobuf_writes_them(seed: int) -> None:
    random_ = random.Random(seed)
    whole = request(
        "search", search((random_.randbytes(random_.choice((1, 200, 70_000))),)), id="x" * random_.randrange(300)
    )
    whole.parameters["a"].int64_param = random_.getrandbits(60)
    raw = whole.SerializeToString()
    single = [{"model_name": whole.model_name}, {"id": whole.id}, *({"inputs": [one]} for one in whole.inputs)]
    alone = [pb.ModelInferRequest(**fields) for fields in single]
    alone.append(pb.ModelInferRequest())
    alone[-1].parameters["a"].CopyFrom(whole.parameters["a"])
    counted = sum(max(LEAST, one.ByteSize()) for one in alone if one.ByteSize())
    assert beside(raw, TENSORS, 1 << 20) == counted + LEAST * len(whole.raw_input_contents)
    # Whatever it is, it ends.
    for _ in range(50):
        assert beside(random_.randbytes(random_.randrange(60)), TENSORS, 1 << 20) >= 0


def test_what_arrives_slowly_has_room_that_ends_and_that_nobody_takes_from_others(arena: Arena) -> None:
    jobs, quick = Jobs(PUBLIC, arena), framed(request("search", search((b"x" * 70_000,))).SerializeToString())

    async def received(caller: str, receive: Receive) -> Job:
        messages = Messages(receive)
        prefix = await messages.begin()
        assert prefix is not None
        return await jobs.receive(messages, prefix, Caller(caller), Record("ModelInfer"))

    async def crowd() -> None:
        over, stalled = asyncio.Event(), list[str]()

        def slow() -> Receive:
            parts = iter([b"\0" + SMALL_BYTES.to_bytes(4, "big")])

            async def receive() -> Event:
                for part in parts:
                    return {"type": "http.request", "body": part, "more_body": True}
                stalled.append("within a message")
                await over.wait()
                return {"type": "http.disconnect"}

            return receive

        waiting = [asyncio.ensure_future(received("slow", slow())) for _ in range(_ARRIVING // SMALL_BYTES + 1)]
        await until_async(lambda: len(stalled) == len(waiting))
        with pytest.raises(ServerUnavailable, match="arrive already: try again"):
            await received("slow", body([quick]))
        assert (await received("other", body([quick]))).public.name == "search"
        over.set()
        assert {type(end) for end in await asyncio.gather(*waiting, return_exceptions=True)} == {ClientGone}
        assert (await received("slow", body([quick]))).public.name == "search"

    asyncio.run(crowd())


def test_a_message_that_was_not_read_to_its_end_is_told_from_one_that_was() -> None:
    async def left() -> list[int]:
        messages, found = Messages(body([framed(b"one", b"another")])), []
        for most in (3, 2):
            assert await messages.begin() is not None
            await messages.some(most)
            found.append(messages.left)
        return found

    assert asyncio.run(left()) == [0, 5]


def resident(name: str) -> int:
    return Path("/dev/shm", name).stat().st_blocks * 512


def test_a_slot_gives_its_memory_back(arena: Arena) -> None:
    raw = framed(large().SerializeToString())
    for _ in range(3):
        asyncio.run(receive(raw, [raw], arena))
    assert resident(arena.region) == 0


def test_a_request_that_ends_early_gives_its_slot_back(arena: Arena) -> None:
    raw = framed(large().SerializeToString())
    for _ in range(5):
        with pytest.raises(Refusal, match="within a message"):
            asyncio.run(receive(raw, [raw[: 3 << 20]], arena))
    assert resident(arena.region) == 0


def late_name(whole: pb.ModelInferRequest) -> bytes:
    """The tensors before all else, which no library writes."""
    tensors = pb.ModelInferRequest(raw_input_contents=whole.raw_input_contents).SerializeToString()
    whole.ClearField("raw_input_contents")
    return tensors + whole.SerializeToString()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda whole: late_name(whole), "there is no model ''"),
        (lambda whole: whole.SerializeToString() + b"\x2a\x01x", "has its tensors last"),
        (lambda whole: b"\x08\x01" + whole.SerializeToString(), "wire type 0"),
        (lambda whole: b"\xff" * (6 << 20), "number without an end"),
    ],
    ids=["order", "trailing", "varint", "junk"],
)
def test_a_large_message_that_is_no_request_is_refused(change, said: str, arena: Arena) -> None:
    raw = framed(change(large()))
    with pytest.raises((InvalidRequest, Refusal), match=said):
        asyncio.run(receive(raw, [raw], arena))
    assert resident(arena.region) == 0


def test_a_length_that_is_not_that_of_the_shape_is_refused_before_it_is_stored(arena: Arena) -> None:
    whole = large()
    whole.inputs[0].shape[1] += 1
    raw = framed(whole.SerializeToString())
    with pytest.raises(InvalidRequest, match="bytes, and 5242880 were sent"):
        # The tensor itself never arrives.
        asyncio.run(receive(raw, [raw[:4096]], arena))


def test_requests_wait_for_room_in_the_order_in_which_they_came(arena: Arena) -> None:
    """Two slots of 8 MiB, and room for 16: what doesn't fit waits, and nobody behind it goes first."""
    order: list[str] = []

    async def hold(name: str, size: int, until: asyncio.Event) -> None:
        async with arena.slot(name, size):
            order.append(name)
            await until.wait()

    async def turns() -> None:
        for _ in range(20):
            await asyncio.sleep(0)

    async def run() -> None:
        first, others = asyncio.Event(), asyncio.Event()
        tasks = [asyncio.create_task(hold("first", 10 << 20, first))]
        await asyncio.sleep(0)
        tasks += [
            asyncio.create_task(hold(*waiting, others)) for waiting in (("large", 7 << 20), ("gone", 1), ("small", 1))
        ]
        await turns()
        assert order == ["first"]
        tasks[2].cancel()
        first.set()
        await turns()
        assert order == ["first", "large", "small"]
        others.set()
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(run())


def test_what_never_fits_is_refused_with_what_to_do(arena: Arena) -> None:
    async def ask() -> None:
        async with arena.slot("one", 17 << 20):
            raise AssertionError("there was room")

    with pytest.raises(InvalidRequest, match=r"has 17\.0 MiB, .* room for one of 16\.0: enlarge /dev/shm where"):
        asyncio.run(ask())
