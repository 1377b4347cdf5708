"""A closed loop of clients against any of the services, in a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any, Literal, TypeVar

import numpy as np

from ...export.bundle.errors import ServerError

Protocol = Literal["client", "http", "pytriton"]
Found = tuple[list[str], list[float]]
Ask = Callable[[str], Awaitable[Found]]
Result = TypeVar("Result")

TOP = 10
# The name under which PyTriton serves the search.
PYTRITON_MODEL = "pytriton_search"
_TIMEOUT_S = 600.0


@dataclass(frozen=True)
class Target:
    """Where a service listens, and in which protocol: framesift's client, JSON over HTTP, or PyTriton's tensors."""

    protocol: Protocol
    address: str


@dataclass(frozen=True)
class Measured:
    """One closed loop: seconds of every answered request, from the first sent to the last answered, and errors."""

    latencies: list[float]
    seconds: float
    errors: int

    def row(self) -> dict[str, Any]:
        """Requests a second, and latencies in milliseconds."""
        if not self.latencies:
            return {"qps": 0.0, "requests": 0, "errors": self.errors}
        p50, p95, p99 = np.percentile(1e3 * np.array(self.latencies), (50, 95, 99))
        return {
            "qps": round(len(self.latencies) / self.seconds, 3),
            "p50_ms": round(float(p50), 3),
            "p95_ms": round(float(p95), 3),
            "p99_ms": round(float(p99), 3),
            "requests": len(self.latencies),
            "errors": self.errors,
        }


class Driver:
    """The process that the clients live in, so that they take nothing from the interpreter that runs the benchmark."""

    def __init__(self) -> None:
        self._pool = ProcessPoolExecutor(1, get_context("spawn"))

    def measure(self, target: Target, queries: Sequence[str], concurrency: int, seconds: float) -> Measured:
        """``concurrency`` clients, each asking the next of ``queries`` as soon as it has an answer, for ``seconds``.

        Requests that are under way then are waited for, and count.
        """
        return self._pool.submit(_measure, target, list(queries), concurrency, seconds).result()

    def answers(self, target: Target, queries: Sequence[str]) -> list[Found]:
        """Ids and scores of each query's ten best videos.

        Raises:
            ServerError: a query was not answered.
        """
        return self._pool.submit(_answers, target, list(queries)).result()

    def close(self) -> None:
        """End the process."""
        self._pool.shutdown()

    def __enter__(self) -> Driver:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _measure(target: Target, queries: list[str], concurrency: int, seconds: float) -> Measured:
    return _told(target, closed_loop(target, queries, concurrency, seconds))


def _answers(target: Target, queries: list[str]) -> list[Found]:
    async def ask_all() -> list[Found]:
        async with _asking(target) as ask:
            return [await ask(query) for query in queries]

    return _told(target, ask_all())


def _told(target: Target, work: Coroutine[Any, Any, Result]) -> Result:
    try:
        return asyncio.run(work)
    except Exception as error:
        # Some libraries' exceptions can't travel between processes.
        raise ServerError(f"{target.address} did not answer: {error}") from None


async def closed_loop(target: Target, queries: Sequence[str], concurrency: int, seconds: float) -> Measured:
    """As ``Driver.measure``, within this process."""
    latencies: list[float] = []
    errors = 0
    upcoming = itertools.cycle(queries)

    async def client(ask: Ask, deadline: float) -> None:
        nonlocal errors
        while (sent := time.perf_counter()) < deadline:
            try:
                await ask(next(upcoming))
            except Exception:
                # A refusal costs no time to answer: only what was answered counts as throughput.
                errors += 1
            else:
                latencies.append(time.perf_counter() - sent)

    async with _asking(target) as ask:
        # Connections are made and first calls answered before the clock starts.
        await ask(queries[-1])
        started = time.perf_counter()
        await asyncio.gather(*(client(ask, started + seconds) for _ in range(concurrency)))
        return Measured(latencies, time.perf_counter() - started, errors)


@contextlib.asynccontextmanager
async def _asking(target: Target) -> AsyncIterator[Ask]:
    async with {"client": _by_client, "http": _by_http, "pytriton": _by_pytriton}[target.protocol](
        target.address
    ) as ask:
        yield ask


@contextlib.asynccontextmanager
async def _by_client(address: str) -> AsyncIterator[Ask]:
    from ...serving.client.aio import AsyncClient

    async with AsyncClient(address, timeout_s=_TIMEOUT_S) as client:

        async def ask(text: str) -> Found:
            hits = (await client.search(text, top=TOP)).hits
            return [hit.id for hit in hits], [hit.score for hit in hits]

        yield ask


@contextlib.asynccontextmanager
async def _by_http(address: str) -> AsyncIterator[Ask]:
    import aiohttp

    connections = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connections, timeout=aiohttp.ClientTimeout(_TIMEOUT_S)) as session:

        async def ask(text: str) -> Found:
            async with session.post(f"http://{address}/search", json={"text": text, "top": TOP}) as answer:
                if answer.status != 200:
                    raise ServerError(f"{address} answered {answer.status}: {await answer.text()}")
                found = await answer.json()
            return found["ids"], found["scores"]

        yield ask


@contextlib.asynccontextmanager
async def _by_pytriton(address: str) -> AsyncIterator[Ask]:
    from tritonclient.grpc import InferInput
    from tritonclient.grpc.aio import InferenceServerClient

    from ...export.bundle import ports

    async with InferenceServerClient(address) as client:
        top = InferInput(ports.TOP, (1, 1), "INT32").set_data_from_numpy(np.array([[TOP]], np.int32))

        async def ask(text: str) -> Found:
            given = InferInput(ports.TEXT, (1, 1), "BYTES").set_data_from_numpy(np.array([[text.encode()]], np.object_))
            answer = await client.infer(PYTRITON_MODEL, [given, top], client_timeout=_TIMEOUT_S)
            return [id_.decode() for id_ in answer.as_numpy(ports.IDS)[0]], answer.as_numpy(ports.SCORES)[0].tolist()

        yield ask
