"""Forms with files, multipart/form-data of RFC 7578, read as they arrive."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass

from ....export.bundle.errors import InvalidRequest

_BOUNDARY = re.compile(rb'multipart/form-data\s*;.*?\bboundary=(?:"([^"]{1,70})"|([^\s;,"]{1,70}))', re.I | re.S)
# A value is quoted or, as .NET writes it, a token. Others than ours are read as well: a quoted one may hold anything.
_PARAMETER = re.compile(rb';\s*+([^\s=;"]++)\s*+=\s*+(?:"((?:[^"\\]|\\.)*+)"|([^\s;"]++))', re.S)
_ESCAPED = re.compile(rb'\\(["\\])')
_LARGEST_HEAD = 16 << 10
_MOST_PARTS = 16


@dataclass(frozen=True)
class Part:
    """A field or a file that begins."""

    name: str
    filename: str | None


class Multipart:
    """Reads a form part by part; each is read whole before the next.

    Args:
        body: of the request, in parts of any size.
        kind: its ``Content-Type``.

    Raises:
        InvalidRequest: from every method, where it is no such form.
    """

    def __init__(self, body: AsyncIterator[bytes], kind: bytes) -> None:
        found = _BOUNDARY.match(kind)
        if found is None:
            raise InvalidRequest("the form's Content-Type names no boundary")
        self._end = b"\r\n--" + (found[1] or found[2])
        self._body = body
        # The first boundary has no line in front of it that it could end.
        self._buffer = bytearray(b"\r\n")
        self._parts = 0
        # The next boundary was not passed yet.
        self._within = True

    async def next(self) -> Part | None:
        """The next part; None after the last."""
        async for passed in self._until_end():
            if self._parts == 0 and passed:
                raise InvalidRequest("the form does not begin with its boundary")
        await self._have(2)
        if self._buffer[:2] == b"--":
            async for _ in self._body:
                pass
            return None
        self._parts += 1
        self._within = True
        if self._parts > _MOST_PARTS:
            raise InvalidRequest(f"the form has more than {_MOST_PARTS} parts")
        head = await self._head()
        found = {
            name.lower(): _ESCAPED.sub(rb"\1", quoted) or token for name, quoted, token in _PARAMETER.findall(head)
        }
        if b"name" not in found:
            raise InvalidRequest("a part of the form has no name")
        return Part(_name(found[b"name"]), _name(found[b"filename"]) if b"filename" in found else None)

    async def data(self) -> AsyncIterator[bytes]:
        """The part's bytes, as they arrive."""
        async for part in self._until_end():
            yield part

    async def text(self, limit: int) -> str:
        """The part as text of at most ``limit`` bytes."""
        found = bytearray()
        async for part in self.data():
            found += part
            if len(found) > limit:
                raise InvalidRequest(f"a field of the form has more than {limit} bytes")
        return _text(bytes(found))

    async def _until_end(self) -> AsyncIterator[bytes]:
        """What stands before the next boundary, which is passed over; the second time nothing."""
        if not self._within:
            return
        while (at := self._buffer.find(self._end)) < 0:
            # The end of what arrived may be the beginning of the boundary.
            safe = len(self._buffer) - len(self._end) + 1
            if safe > 0:
                yield bytes(self._buffer[:safe])
                del self._buffer[:safe]
            await self._more()
        self._within = False
        last = bytes(self._buffer[:at])
        del self._buffer[: at + len(self._end)]
        if last:
            yield last

    async def _head(self) -> bytes:
        while (end := self._buffer.find(b"\r\n\r\n")) < 0:
            if len(self._buffer) > _LARGEST_HEAD:
                raise InvalidRequest(f"a part of the form has headers of more than {_LARGEST_HEAD} bytes")
            await self._more()
        head = bytes(self._buffer[:end])
        del self._buffer[: end + 4]
        for line in head.split(b"\r\n"):
            name, _, value = line.partition(b":")
            if name.strip().lower() == b"content-disposition":
                return value
        raise InvalidRequest("a part of the form has no Content-Disposition")

    async def _have(self, size: int) -> None:
        while len(self._buffer) < size:
            await self._more()

    async def _more(self) -> None:
        try:
            self._buffer += await anext(self._body)
        except StopAsyncIteration:
            raise InvalidRequest("the form ends within a part") from None


def _name(raw: bytes) -> str:
    """A name as browsers write it: with escapes for a quotation mark and the ends of lines."""
    return _text(raw).replace("%22", '"').replace("%0D", "\r").replace("%0A", "\n")


def _text(raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidRequest("a name or a field of the form is not UTF-8") from error
