"""Waiting by blocking the thread."""

from __future__ import annotations

import threading
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from tritonclient.grpc import InferenceServerClient
from tritonclient.utils import InferenceServerException

from ...export.bundle.errors import ClientError
from .connection import CLOSED, Credentials, channel_options

if TYPE_CHECKING:
    from .transport import Given, Result, Run


class Blocking:
    """A ``Transport`` that blocks, and so never suspends a coroutine."""

    def __init__(self, address: str, credentials: Credentials) -> None:
        self._server = InferenceServerClient(address, channel_args=channel_options(address), **credentials.channel)
        self._closed = threading.Event()

    async def send(self, call: Callable[[Any], Any]) -> Any:
        try:
            return call(self._server)
        # gRPC's two words for a connection that is closed before a call, and during one by another thread.
        except (ValueError, InferenceServerException) as error:
            if self._closed.is_set():
                raise ClientError(CLOSED) from error
            raise

    async def read(self, read: Callable[[], Result]) -> Result:
        return read()

    def turn(self) -> AbstractAsyncContextManager[Any]:
        # Whoever calls from many threads has said how many.
        return nullcontext()

    async def run_all(self, run: Run[Given, Result], items: Sequence[Given]) -> list[Result]:
        return [await run(item) for item in items]

    async def run_many(
        self,
        run: Run[Given, Result],
        items: Sequence[Given],
        jobs: int,
        ended: Callable[[int, Result], object],
    ) -> list[Result]:
        if self._closed.is_set():
            raise ClientError(CLOSED)
        pool = ThreadPoolExecutor(jobs, thread_name_prefix="index")
        try:
            futures = {pool.submit(lambda item: finished(run(item)), item): place for place, item in enumerate(items)}
            for future in as_completed(futures):
                ended(futures[future], future.result())
            return [future.result() for future in futures]
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    async def sleep(self, seconds: float) -> None:
        # Nobody waits on for a client that is closed.
        self._closed.wait(seconds)

    async def close(self) -> None:
        self._closed.set()
        self._server.close()


def finished(coroutine: Coroutine[Any, Any, Result]) -> Result:
    """What a coroutine returns that is never suspended."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        result: Result = end.value
        return result
    raise AssertionError("a blocking call was suspended")
