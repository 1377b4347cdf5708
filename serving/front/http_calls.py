"""Calls over plain HTTP: let in, counted and told of as those over gRPC are."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from .access import Access
from .asgi import Scope
from .call import peer
from .gate import Gate
from .record import Record
from .records import Records
from .replies import Reply
from .status import ClientGone
from .tokens import Caller

_AUTHORIZATION = b"authorization"


class HttpCalls:
    """What every call over plain HTTP passes."""

    def __init__(self, access: Access, gate: Gate, records: Records) -> None:
        self._access, self._gate, self._records = access, gate, records

    async def answer(
        self,
        scope: Scope,
        method: str,
        work: Callable[[Caller, Record], Awaitable[Reply]],
        failed: Callable[[Exception], Reply],
        *,
        authorization: bytes | None = None,
    ) -> Reply:
        """What ``work`` answers to a caller who may call, or what ``failed`` makes of an error.

        Args:
            method: its name in ``roles.CALLS``; ``work`` may give the record another.
            authorization: who calls, where no header of that name says so.

        Raises:
            ClientGone: the client has left.
        """
        headers = dict(scope["headers"])
        record = self._records.begin(method, headers)
        try:
            caller = self._access.caller(peer(scope), headers.get(_AUTHORIZATION, authorization), method)
            self._records.known(record, caller.name, headers)
            with self._gate.inside(caller, method):
                reply = await work(caller, record)
        except ClientGone as error:
            record.fail(error)
            self._end(record)
            raise
        except Exception as error:
            record.fail(error)
            reply = failed(error)
        record.sent = reply.length
        self._end(record)
        return reply

    def _end(self, record: Record) -> None:
        (record.told or self._records.end_call)(record)
