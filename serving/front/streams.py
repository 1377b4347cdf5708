"""ModelStreamInfer: many requests in one call, answered in their order."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from tritonclient.grpc import service_pb2 as pb

from .access import Access
from .aliases import HEADER, Aliases
from .call import Call
from .deployed import Deployed
from .jobs import Job
from .messages import Prefix
from .record import Record
from .status import ClientGone, told
from .tokens import Caller
from .waiting import Client

# Requests of one stream in the house at once; the next is read when the first of them is answered.
_OPEN = 8


class Stream:
    """One call of ModelStreamInfer."""

    def __init__(self, call: Call, access: Access, aliases: Aliases) -> None:
        self._call, self._access = call, access
        # An alias may be moved between two requests.
        self._aliases, self._chosen = aliases, call.metadata.get(HEADER)
        self._deadline = call.deadline()
        self._room = asyncio.Semaphore(_OPEN)
        self._answers: asyncio.Queue[asyncio.Task[bytes] | None] = asyncio.Queue()
        self._waiting: set[Client] = set()
        # Done once the client has left, or reads too little of its answers.
        self._gone = asyncio.get_running_loop().create_future()

    async def run(self) -> None:
        """Answer until the client has sent its last request, or leaves.

        Raises:
            ClientGone: it left.
            Exception: what it sends can't be read any further.
        """
        loop = asyncio.get_running_loop()
        writer = loop.create_task(self._write())
        try:
            while (prefix := await self._call.messages.begin(given_up=self._gone)) is not None:
                await self._room.acquire()
                self._answers.put_nowait(loop.create_task(await self._begun(prefix)))
        except (ClientGone, asyncio.CancelledError):
            self._give_up()
            raise
        finally:
            # What was asked before a message that can't be read is answered before that is told.
            self._answers.put_nowait(None)
            await writer

    async def _begun(self, prefix: Prefix) -> Coroutine[Any, Any, bytes]:
        """Receive a request; what is returned answers it.

        Raises:
            Refusal, AccessDenied: the token has been withdrawn, or its role.
        """
        # A stream may stay open for days, and lets nobody in for longer than the token is good.
        caller = self._access.caller(
            self._call.peer, self._call.metadata.get(b"authorization"), self._call.record.method
        )
        served = self._aliases.chosen(self._chosen)
        record = served.records.begin_within(self._call.record)
        try:
            job = await served.jobs.receive(self._call.messages, prefix, caller, record)
        except ClientGone:
            raise
        except Exception as error:
            record.fail(error)
            served.records.end(record)
            # Others may follow a message that was read to its end.
            if self._call.messages.left:
                raise
            return _failed(error)
        return self._answered(served, job, caller, record)

    async def _answered(self, served: Deployed, job: Job, caller: Caller, record: Record) -> bytes:
        client = Client(caller.name, self._deadline)
        self._waiting.add(client)
        try:
            answer = await served.inference.run(job, client, record)
            record.sent = len(answer)
        except Exception as error:
            record.fail(error)
            raise
        else:
            return answer
        finally:
            served.records.end(record)
            self._waiting.discard(client)

    async def _write(self) -> None:
        """Send answers in their order; once the client has left, only wait for them."""
        while (task := await self._answers.get()) is not None:
            answer = pb.ModelStreamInferResponse()
            try:
                answer.infer_response.ParseFromString(await task)
                answer.infer_response.parameters["triton_final_response"].bool_param = True
            except ClientGone:
                self._leave()
            except Exception as error:
                answer.error_message = told(error)[1]
            if not self._gone.done():
                try:
                    await self._call.say(answer.SerializeToString())
                except ClientGone:
                    self._leave()
                    self._give_up()
            self._room.release()

    def _leave(self) -> None:
        if not self._gone.done():
            self._gone.set_result(None)

    def _give_up(self) -> None:
        """Nobody waits any more: what was not sent is dropped. Servers don't expect that ``send`` is cancelled."""
        for client in list(self._waiting):
            client.leave()


async def _failed(error: Exception) -> bytes:
    raise error
