"""framesift's engines behind a plain grpc.aio server of the same protocol: ``python -m ... FOLDER --port P``."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc  # type: ignore[import-untyped]
import numpy as np
from numpy.typing import NDArray
from tritonclient.grpc import service_pb2 as messages
from tritonclient.grpc import service_pb2_grpc
from tritonclient.utils import np_to_triton_dtype, triton_to_np_dtype

from ...export.bundle.checks import check_top
from ...export.bundle.errors import InvalidInput, InvalidQuery
from ...export.bundle.packing import decode
from ...export.bundle.ports import TEXT, TEXT_LENGTH, TOP
from ...serving.backends.hits import answer
from ..inputs.corpus import Corpus
from .engines import Engines
from .parent import end_with_parent

Arrays = dict[str, NDArray[Any]]


class Servicer(service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]
    """The calls that framesift's client makes for a search; every request is answered by itself."""

    def __init__(self, engines: Engines) -> None:
        self._engines = engines
        self._threads = ThreadPoolExecutor(len(os.sched_getaffinity(0)))

    async def ServerReady(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Always: it listens only once everything is loaded."""
        return messages.ServerReadyResponse(ready=True)

    async def ModelConfig(self, request: Any, context: Any) -> Any:  # noqa: N802
        """What a client asks of a configuration: how many texts go into one request."""
        answer = messages.ModelConfigResponse()
        answer.config.max_batch_size = 32
        return answer

    async def ModelInfer(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Run one search in a thread and answer with the tensors of the ensemble ``search``."""
        try:
            texts, top = _asked(request)
            arrays = await asyncio.get_running_loop().run_in_executor(self._threads, self._search, texts, top)
        except InvalidInput as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, error.wire())
        return _response(request, arrays)

    def _search(self, texts: list[str], top: int) -> Arrays:
        return answer(self._engines.view, self._engines.search(texts, top))


def _asked(request: Any) -> tuple[list[str], int]:
    given = {
        port.name: np.frombuffer(raw, triton_to_np_dtype(port.datatype)).reshape(port.shape)
        for port, raw in zip(request.inputs, request.raw_input_contents, strict=True)
    }
    texts = [
        decode(row[:length].tobytes(), TEXT, InvalidQuery)
        for row, length in zip(given[TEXT], given[TEXT_LENGTH].ravel().tolist(), strict=True)
    ]
    return texts, check_top(int(given[TOP].ravel()[0]))


def _response(request: Any, arrays: Arrays) -> Any:
    outputs = messages.ModelInferResponse.InferOutputTensor
    return messages.ModelInferResponse(
        model_name=request.model_name,
        id=request.id,
        outputs=[
            outputs(name=name, datatype=np_to_triton_dtype(array.dtype), shape=array.shape)
            for name, array in arrays.items()
        ],
        raw_output_contents=[array.tobytes() for array in arrays.values()],
    )


@contextlib.asynccontextmanager
async def listening(engines: Engines, port: int) -> AsyncIterator[str]:
    """The server on 127.0.0.1 while the block runs, on a free port where ``port`` is 0; yields its address."""
    server = grpc.aio.server()
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(Servicer(engines), server)
    found = server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    try:
        yield f"127.0.0.1:{found}"
    finally:
        await server.stop(grace=1.0)


async def _serve(engines: Engines, port: int) -> None:
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    async with listening(engines, port):
        await stopping.wait()


def main() -> None:
    """Serve a folder of corpus until told to end."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--port", type=int, required=True)
    given = parser.parse_args()
    end_with_parent()
    asyncio.run(_serve(Engines(Corpus.open(given.folder)), given.port))


if __name__ == "__main__":
    main()
