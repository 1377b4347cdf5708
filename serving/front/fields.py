"""The outer fields of a protobuf message, read as they arrive."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from ...export.bundle.errors import InvalidRequest
from .messages import SMALL_BYTES, Messages

_VARINT, _FIXED64, _LENGTH_DELIMITED, _FIXED32 = 0, 1, 2, 5
_LONGEST_VARINT = 10
# What a field counts for.
LEAST = 64


@dataclass(frozen=True)
class Field:
    """A field that begins: its number, the bytes of its value, and the tag and length as they were read."""

    number: int
    size: int
    header: bytes


class Fields:
    """Reads a message that has fields of bytes, texts and messages alone, as a ModelInferRequest has.

    Args:
        messages: from which a message of ``size`` bytes was begun.

    Raises:
        InvalidRequest: from every method, where the message is no such message.
    """

    def __init__(self, messages: Messages, size: int) -> None:
        self._messages, self._missing = messages, size
        self._part = b""
        self._at = 0

    @property
    def left(self) -> int:
        """Bytes of the message that were not read yet."""
        return self._missing + len(self._part) - self._at

    async def next(self) -> Field | None:
        """The next field; its value is to be read before the next. None at the end."""
        if not self.left:
            return None
        header = bytearray()
        tag = await self._varint(header)
        if tag % 8 != _LENGTH_DELIMITED:
            raise InvalidRequest(f"the message has a field of the wire type {tag % 8}, a ModelInferRequest has none")
        size = await self._varint(header)
        if size > self.left:
            raise InvalidRequest("the message has a field that is longer than the message")
        return Field(tag // 8, size, bytes(header))

    async def whole(self, field: Field, most: int = SMALL_BYTES) -> bytes:
        """A field's value, of at most ``most`` bytes."""
        if field.size > most:
            raise InvalidRequest(f"a field has {field.size} bytes, the limit is {most}")
        value = bytearray()
        async for part in self.parts(field):
            value += part
        return bytes(value)

    async def parts(self, field: Field) -> AsyncIterator[memoryview]:
        """A field's value, in parts as they arrive."""
        missing = field.size
        while missing:
            await self._fill()
            part = memoryview(self._part)[self._at : self._at + missing]
            self._at += len(part)
            missing -= len(part)
            yield part

    async def _varint(self, header: bytearray) -> int:
        value = 0
        for shift in range(0, 7 * _LONGEST_VARINT, 7):
            if not self.left:
                raise InvalidRequest("the message ends within a field")
            await self._fill()
            byte = self._part[self._at]
            self._at += 1
            header.append(byte)
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
        raise InvalidRequest("the message holds a number without an end")

    async def _fill(self) -> None:
        if self._at == len(self._part):
            self._part = await self._messages.some(self._missing)
            self._missing -= len(self._part)
            self._at = 0


def beside(message: bytes, number: int, most: int) -> int:
    """The bytes of a message's fields, each at least ``LEAST``, because empty ones take memory and time too.

    Of each field of this number so many are counted, and no more. Counting ends once they are more than ``most``, as
    they are with a kind of field that no request of ours has, and where a message can't be read any further.
    """
    counted = place = 0
    while place < len(message) and counted <= most:
        start = place
        tag, place = _varint(message, place)
        kind = tag % 8
        if kind == _LENGTH_DELIMITED:
            size, place = _varint(message, place)
            place += size
        elif kind == _VARINT:
            place = _varint(message, place)[1]
        elif kind in (_FIXED64, _FIXED32):
            place += 8 if kind == _FIXED64 else 4
        else:
            # A group: who reads the message passes over it, and reads on.
            return most + 1
        counted += LEAST if tag // 8 == number else max(LEAST, place - start)
    return counted


def _varint(message: bytes, place: int) -> tuple[int, int]:
    """A number, and the place behind it."""
    value = shift = 0
    while place < len(message) and shift < 7 * _LONGEST_VARINT:
        byte = message[place]
        value |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if byte < 0x80:
            break
    return value, place
