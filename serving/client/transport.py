"""How a client waits."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol, TypeVar

Given = TypeVar("Given")
Result = TypeVar("Result")
Run = Callable[[Given], Coroutine[Any, Any, Result]]


class Transport(Protocol):
    """How a client waits: all that distinguishes the two."""

    async def send(self, call: Callable[[Any], Any]) -> Any:
        """What ``call`` returns of tritonclient's client, of which there are two with the same methods.

        Raises:
            ClientError: the client is closed, or belongs to another event loop.
        """

    async def read(self, read: Callable[[], Result]) -> Result:
        """What ``read`` returns, which reads files."""

    def turn(self) -> AbstractAsyncContextManager[Any]:
        """A place for one of the few videos that are read and sent at once."""

    async def run_all(self, run: Run[Given, Result], items: Sequence[Given]) -> list[Result]:
        """What ``run`` returns for every item, in order."""

    async def run_many(
        self,
        run: Run[Given, Result],
        items: Sequence[Given],
        jobs: int,
        ended: Callable[[int, Result], object],
    ) -> list[Result]:
        """As ``run_all`` for ``jobs`` items at a time; the caller learns by ``ended`` of each that ends, and its place.

        What ``ended`` raises ends it; items that were not begun then are left out.
        """

    async def sleep(self, seconds: float) -> None:
        """Wait for ``seconds``."""

    async def close(self) -> None:
        """Close the connection; a second time does nothing."""
