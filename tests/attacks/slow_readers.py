"""Clients that read their answers a byte a second: over HTTP/1.1, HTTP/2 and gRPC."""

from __future__ import annotations

import asyncio
import contextlib
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from framesift.serving.front.sending import UNREAD_S

from ..serving.front.requests_of import framed, request, search
from .held import (
    DATA,
    DRIP_S,
    END_OF_HEADERS,
    END_OF_STREAM,
    END_OF_STREAM_AND_HEADERS,
    HEADERS,
    INITIAL_WINDOW_SIZE,
    PREFACE,
    RESET,
    SETTINGS,
    STREAMS,
    WINDOW_UPDATE,
    Kind,
    frame,
)
from .target import SEARCHERS, Target

# A film that fills every buffer on its way.
FILM, _FILM_BYTES = "large.mp4", 64 << 20
_PATH, _AUTHORITY, _CONTENT_TYPE, _AUTHORIZATION = 4, 1, 31, 23
_GET, _POST, _HTTP = b"\x82", b"\x83", b"\x86"
_LARGEST_FRAME = 16 << 10
# Searches of one stream, and their texts.
_SEARCHES, _TEXTS = 64, 8
_STREAM = "/inference.GRPCInferenceService/ModelStreamInfer"
_INFER = "/inference.GRPCInferenceService/ModelInfer"
_ESTABLISHED = "01"
_HEAD_BYTES = 9
# How much later than it should a server may have looked.
_LOOKED_S = 5.0


def kinds(target: Target) -> list[Kind]:
    """What whoever has a token can do with it, and what everybody can."""
    # Searches are of another caller, whose share is not taken by those of the streams.
    token, other = (f"Bearer {target.tokens[name]}" if target.tokens else "" for name in ("admin", SEARCHERS[0]))
    return [
        Kind("films over HTTP/1.1 that are read a byte a second", _Film(token).hold, 60, 0.02, _ended_unread),
        Kind("films over HTTP/2 that are read a byte a second", _Streams(token, [_film(token)]).hold, 60, 0.02),
        Kind(
            "films over HTTP/2 that are read a byte a second beside a stream of gRPC that says nothing",
            _Streams(token, [_film(token), _silence(token)]).hold,
            60,
            0.02,
            _cut_short,
        ),
        Kind("streams of gRPC that are read a byte a second", _Streams(token, [_searches(token)]).hold, 100, 0.01),
        Kind(
            "answers over HTTP/2 that are read a byte a second",
            _Streams(token, [asked_of(number) for number in range(STREAMS)]).hold,
            100,
            0.02,
        ),
        Kind(
            "answers over gRPC that are read a byte a second",
            _Streams(other, [_search(other)] * 2).hold,
            100,
            0.01,
        ),
    ]


@contextmanager
def film(target: Target) -> Iterator[None]:
    """A large film that the server may send, of a video in the gallery."""
    path = target.clips[0].video.parent / FILM
    with path.open("wb") as file:
        file.truncate(_FILM_BYTES)
    with target.client() as client:
        client.wait_searchable(client.index(target.clips[0].video.read_bytes(), id=FILM))
        try:
            yield
        finally:
            path.unlink()
            client.delete([FILM])


class _Film:
    """Asks for a film over HTTP/1.1."""

    def __init__(self, token: str) -> None:
        self._token = token

    async def hold(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # The socket's own buffer is filled, and nothing is taken from it but what is read here.
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        head = f"GET /v1/video/file?id={FILM} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        writer.write(f"{head}{f'Authorization: {self._token}{chr(13)}{chr(10)}' if self._token else ''}\r\n".encode())
        descriptor = writer.get_extra_info("socket").fileno()
        while True:
            await asyncio.sleep(DRIP_S)
            with contextlib.suppress(BlockingIOError):
                os.read(descriptor, 1)


async def _ended_unread(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Until the server has closed its end, which a client that does not read would learn much later."""
    own, theirs = writer.get_extra_info("sockname"), writer.get_extra_info("peername")
    ends = f"{_hex(theirs)} {_hex(own)} {_ESTABLISHED}"
    while True:
        await asyncio.sleep(DRIP_S)
        table = await asyncio.to_thread(Path("/proc/net/tcp").read_text)
        if ends not in table:
            return


async def _cut_short(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Until the server has ended the first answer of a connection that stays: only its beginning comes."""
    await asyncio.sleep(UNREAD_S + _LOOKED_S)
    writer.write(b"".join(frame(WINDOW_UPDATE, 0, number, struct.pack(">I", 1 << 30)) for number in (0, 1)))
    size, ended = 0, False
    while not ended:
        try:
            head = await reader.readexactly(_HEAD_BYTES)
            (kind, flags), number = head[3:5], int.from_bytes(head[5:])
            payload = await reader.readexactly(int.from_bytes(head[:3]))
        except (asyncio.IncompleteReadError, OSError):
            return
        if number == 1:
            size += len(payload) if kind == DATA else 0
            ended = kind == RESET or (kind in (DATA, HEADERS) and bool(flags & END_OF_STREAM))
    if size >= _FILM_BYTES:
        await asyncio.Event().wait()


def _hex(address: tuple[str, int]) -> str:
    """An address as the kernel's table of connections has it."""
    raw = bytes(int(part) for part in address[0].split("."))
    return f"{int.from_bytes(raw, 'little'):08X}:{address[1]:04X}"


class _Streams:
    """Asks for some answers over HTTP/2, each on a stream of its own that has room for a byte more every second."""

    def __init__(self, token: str, requests: list[list[tuple[int, int, bytes]]]) -> None:
        self._token, self._requests = token, requests

    async def hold(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(PREFACE + frame(SETTINGS, 0, 0, struct.pack(">HI", INITIAL_WINDOW_SIZE, 0)))
        numbers = range(1, 2 * len(self._requests), 2)
        for number, frames in zip(numbers, self._requests, strict=True):
            writer.write(b"".join(frame(kind, flags, number, payload) for kind, flags, payload in frames))
        await writer.drain()
        while not writer.transport.is_closing():
            writer.write(b"".join(frame(WINDOW_UPDATE, 0, number, struct.pack(">I", 1)) for number in numbers))
            await writer.drain()
            await asyncio.sleep(DRIP_S)


def _literal(index: int, value: str) -> bytes:
    """A header of HPACK's static table, its value as it is and shorter than 127 bytes."""
    start = bytes([index]) if index < 15 else bytes([15, index - 15])
    return start + bytes([len(value)]) + value.encode()


def _head(method: bytes, path: str, token: str, grpc: bool = False) -> bytes:
    head = method + _HTTP + _literal(_PATH, path) + _literal(_AUTHORITY, "127.0.0.1")
    if token:
        head += _literal(_AUTHORIZATION, token)
    if grpc:
        head += _literal(_CONTENT_TYPE, "application/grpc") + b"\x00\x02te\x08trailers"
    return head


def asked_of(number: int) -> list[tuple[int, int, bytes]]:
    """The page, or what may be asked for, in turns."""
    path = ("/", "/v1/openapi.json")[number % 2]
    return [(HEADERS, END_OF_STREAM_AND_HEADERS, _head(_GET, path, ""))]


def _film(token: str) -> list[tuple[int, int, bytes]]:
    return [(HEADERS, END_OF_STREAM_AND_HEADERS, _head(_GET, f"/v1/video/file?id={FILM}", token))]


def _search(token: str) -> list[tuple[int, int, bytes]]:
    return _grpc(_INFER, token, _message(1))


def _searches(token: str) -> list[tuple[int, int, bytes]]:
    return _grpc(_STREAM, token, _message(_TEXTS) * _SEARCHES)


def _silence(token: str) -> list[tuple[int, int, bytes]]:
    """A stream on which nothing is asked."""
    return [(HEADERS, END_OF_HEADERS, _head(_POST, _STREAM, token, grpc=True))]


def _message(count: int) -> bytes:
    texts = [f"a film of number {number}".encode() for number in range(count)]
    return framed(request("search", search(texts, 1000)).SerializeToString())


def _grpc(path: str, token: str, body: bytes) -> list[tuple[int, int, bytes]]:
    parts = [body[place : place + _LARGEST_FRAME] for place in range(0, len(body), _LARGEST_FRAME)]
    frames = [(DATA, 0, part) for part in parts[:-1]]
    return [
        (HEADERS, END_OF_HEADERS, _head(_POST, path, token, grpc=True)),
        *frames,
        (DATA, END_OF_STREAM, parts[-1]),
    ]
