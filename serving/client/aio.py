"""The client for asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Any

from tritonclient.grpc.aio import InferenceServerClient

from ...export.bundle.errors import ClientError
from .calls import Calls
from .connection import CLOSED, DEFAULT_ADDRESS, Credentials, Unset, channel_options, check_address

if TYPE_CHECKING:
    from .transport import Given, Result, Run

# Parts of one call in flight at once: more would only delay one another, and be refused.
_PARTS = 4
# Videos of single calls that are read and sent at once: the server decodes no more, and each is held in memory.
_VIDEOS = 8


class AsyncClient(Calls):
    """A connection to a framesift server for asyncio, which belongs to the event loop of its first call.

    >>> async with AsyncClient("127.0.0.1:8001") as client:
    ...     result = await client.search("a dog catches a frisbee", top=3)

    Methods, options and exceptions are those of ``Client``; concurrent calls run concurrently, but of calls that send a
    video only eight at a time: ``gather`` may be given as many as there are.
    """

    def __init__(
        self,
        address: str = DEFAULT_ADDRESS,
        timeout_s: float | Unset | None = Unset.UNSET,
        *,
        retry: bool = True,
        credentials: Credentials | None = None,
        model: str | None = None,
    ) -> None:
        shown = Credentials.from_env() if credentials is None else credentials
        super().__init__(
            _Awaiting(shown.check(check_address(address)), shown), address, timeout_s, retry, shown.headers, model
        )

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


class _Awaiting:
    """A ``Transport`` that leaves the event loop to others while it waits."""

    def __init__(self, address: str, credentials: Credentials) -> None:
        self._address, self._credentials = address, credentials
        self._closed = False
        # gRPC binds a connection to the event loop in which it is made, so the first call makes it.
        self._videos = asyncio.Semaphore(_VIDEOS)
        self._connection: tuple[asyncio.AbstractEventLoop, InferenceServerClient] | None = None

    async def send(self, call: Callable[[Any], Any]) -> Any:
        server = self._connect()
        try:
            return await call(server)
        except asyncio.CancelledError as error:
            # gRPC also cancels the calls in flight when the connection is closed.
            task = asyncio.current_task()
            if self._closed and not (task and task.cancelling()):
                raise ClientError(CLOSED) from error
            raise

    async def read(self, read: Callable[[], Result]) -> Result:
        self._connect()
        return await asyncio.to_thread(read)

    def turn(self) -> AbstractAsyncContextManager[Any]:
        self._connect()
        return self._videos

    async def run_all(self, run: Run[Given, Result], items: Sequence[Given]) -> list[Result]:
        return await self.run_many(run, items, _PARTS, lambda place, result: None)

    async def run_many(
        self,
        run: Run[Given, Result],
        items: Sequence[Given],
        jobs: int,
        ended: Callable[[int, Result], object],
    ) -> list[Result]:
        self._connect()
        found: dict[int, Result] = {}
        left = iter(enumerate(items))

        async def work() -> None:
            for place, item in left:
                found[place] = await run(item)
                ended(place, found[place])

        tasks = [asyncio.create_task(work()) for _ in range(min(jobs, len(items)))]
        try:
            await asyncio.gather(*tasks)
        except BaseException:
            # One that failed would leave the others running.
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            raise
        return [found[place] for place in range(len(items))]

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def close(self) -> None:
        if self._closed:
            return
        server = None if self._connection is None else self._connect()
        self._closed = True
        if server is not None:
            await server.close()

    def _connect(self) -> InferenceServerClient:
        if self._closed:
            raise ClientError(CLOSED)
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError as error:
            raise ClientError("AsyncClient needs asyncio's event loop: run it by asyncio.run, or use Client") from error
        if self._connection is None:
            options = channel_options(self._address)
            made = InferenceServerClient(self._address, channel_args=options, **self._credentials.channel)
            self._connection = loop, made
        elif self._connection[0] is not loop:
            raise ClientError("this AsyncClient belongs to the event loop of its first call: make one in each loop")
        return self._connection[1]
