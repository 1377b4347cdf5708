"""What brought Triton server down by itself: deadlines, cancels and shapes. A hundredth of what `make attack` runs."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import Counter
from typing import Any

import grpc.aio
import numpy as np
import pytest
from tritonclient.grpc import service_pb2 as pb
from tritonclient.utils import triton_to_np_dtype

from framesift.export.bundle.store import Bundle
from framesift.serving.client.sync import Client
from framesift.serving.front.deployment import public_models
from framesift.serving.front.public import Public

from .requests_of import request, search

pytestmark = pytest.mark.server
INFER = "/inference.GRPCInferenceService/ModelInfer"
STREAM = "/inference.GRPCInferenceService/ModelStreamInfer"
SECONDS = 4.0
SIZES = (-(1 << 63), -1, 0, 1, 2, 3, 12, 1 << 31, 1 << 32, 1 << 61, 1 << 62, (1 << 63) - 1)


@pytest.fixture
def the_same(server, client: Client, indexed: list):
    """Afterwards the same processes run, and the same answer comes."""
    query = indexed[0].captions[0]
    before = (server.pid, server.door_pid), [hit.id for hit in client.search(query).hits]
    yield
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and not client.ready():
        time.sleep(0.05)
    assert ((server.pid, server.door_pid), [hit.id for hit in client.search(query).hits]) == before


def message(random_: random.Random) -> bytes:
    if random_.random() < 0.1:
        return request("search", search((b"&nbsp;",))).SerializeToString()
    return request("search", search((f"query {random_.random()}".encode(),))).SerializeToString()


async def unary(channel: grpc.aio.Channel, random_: random.Random) -> None:
    call = channel.unary_unary(INFER)(message(random_), timeout=random_.uniform(0.001, 0.06))
    if random_.random() < 0.3:
        await asyncio.sleep(random_.uniform(0, 0.02))
        call.cancel()
    await call


async def streamed(channel: grpc.aio.Channel, random_: random.Random) -> None:
    call = channel.stream_stream(STREAM)(timeout=random_.uniform(0.005, 0.1))
    for _ in range(random_.randint(1, 12)):
        await call.write(message(random_))
    if random_.random() < 0.5:
        await call.done_writing()
    for _ in range(random_.randint(0, 3)):
        pb.ModelStreamInferResponse.FromString(await call.read())
    if random_.random() < 0.5:
        call.cancel()


async def hunt(address: str, kinds: tuple, clients: int) -> int:
    """So many clients that all lose their patience; how many calls they made."""
    calls = 0
    end = time.monotonic() + SECONDS

    async def one(seed: int) -> None:
        nonlocal calls
        random_ = random.Random(seed)
        async with grpc.aio.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)]) as channel:
            while time.monotonic() < end:
                calls += 1
                # A client that gives up meets a dozen errors of gRPC's own; what counts is what the others see.
                with contextlib.suppress(Exception, asyncio.CancelledError):
                    await random_.choice(kinds)(channel, random_)

    await asyncio.gather(*map(one, range(clients)))
    return calls


@pytest.mark.usefixtures("the_same")
@pytest.mark.parametrize("kinds", [(unary,), (streamed,), (unary, streamed)], ids=["unary", "streams", "both"])
def test_clients_without_patience_touch_nobody_else(kinds: tuple, server) -> None:
    assert asyncio.run(hunt(server.address, kinds, 32)) > 200


def hostile(random_: random.Random, model: Public) -> Any:
    """A request whose names are right and whose types, shapes or bytes are not."""
    shapes = {
        name: [random_.choice((1, 2)) if size < 0 else size for size in port.shape]
        for name, port in model.inputs.items()
    }
    arrays = {name: np.zeros(shape, triton_to_np_dtype(model.inputs[name].datatype)) for name, shape in shapes.items()}
    made = request(model.name, arrays)
    for _ in range(random_.choice((1, 1, 2, 3))):
        place = random_.randrange(len(made.inputs))
        tensor = made.inputs[place]
        change = random_.randrange(5)
        if change == 0 and tensor.shape:
            tensor.shape[random_.randrange(len(tensor.shape))] = random_.choice(SIZES)
        elif change == 1:
            del tensor.shape[:]
            tensor.shape.extend(random_.choice(SIZES) for _ in range(random_.randint(0, 5)))
        elif change == 2:
            made.raw_input_contents[place] = random_.randbytes(random_.choice((0, 1, 3, 4, 100)))
        elif change == 3:
            tensor.datatype = random_.choice(("BYTES", "FP64", "INT8", "", "x" * 100))
        else:
            tensor.parameters["shared_memory_byte_size"].int64_param = random_.choice(SIZES)
    return made


@pytest.mark.usefixtures("the_same")
def test_shapes_and_bytes_that_lie_are_refused(server, bundle: Bundle) -> None:
    models = list(public_models(bundle.manifest).values())

    async def fuzz() -> Counter[str]:
        random_ = random.Random(7)
        codes: Counter[str] = Counter()
        async with grpc.aio.insecure_channel(server.address) as channel:
            for _ in range(400):
                made = hostile(random_, random_.choice(models))
                try:
                    await channel.unary_unary(INFER)(made.SerializeToString(), timeout=20)
                    codes["OK"] += 1
                except grpc.aio.AioRpcError as error:
                    codes[error.code().name] += 1
        return codes

    codes = asyncio.run(fuzz())
    assert codes["INVALID_ARGUMENT"] > 300
    assert set(codes) <= {"OK", "INVALID_ARGUMENT"}
