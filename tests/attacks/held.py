"""Connections that keep a server waiting, each in a way of its own, and how long the server puts up with it."""

from __future__ import annotations

import asyncio
import contextlib
import struct
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

# HTTP/2's frames and settings: RFC 9113.
DATA, HEADERS, RESET, SETTINGS, _PING, WINDOW_UPDATE = 0, 1, 3, 4, 6, 8
END_OF_STREAM, END_OF_HEADERS, END_OF_STREAM_AND_HEADERS = 1, 4, 5
INITIAL_WINDOW_SIZE = 4
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
STREAMS = 256
# POST and http from HPACK's static table; path, authority and content-type as they are.
_CHECK = (
    b"\x83\x86\x04\x1c/grpc.health.v1.Health/Check\x01\x09127.0.0.1\x0f\x10\x10application/grpc\x00\x02te\x08trailers"
)
DRIP_S = 1.0

Hold = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def read_to_the_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Until the server has ended the connection, whatever it sends before."""
    with contextlib.suppress(OSError):
        while await reader.read(1 << 16):
            pass


@dataclass(frozen=True)
class Kind:
    """One way.

    Attributes:
        hold: what it does once it is connected.
        within_s: how long the server may take to end it.
        share: of how many connections.
        ended: waits until the server has ended it.
    """

    name: str
    hold: Hold
    within_s: float
    share: float = 1.0
    ended: Hold = read_to_the_end


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """A frame of HTTP/2."""
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


async def held(kind: Kind, address: str, patience_s: float) -> float:
    """The seconds until the server ends one connection; ``patience_s`` where it does not."""
    host, _, port = address.rpartition(":")
    began = time.monotonic()
    try:
        reader, writer = await asyncio.open_connection(host, int(port))
    except OSError:
        return time.monotonic() - began
    holding = asyncio.ensure_future(_quietly(kind.hold(reader, writer)))
    try:
        await asyncio.wait_for(kind.ended(reader, writer), patience_s)
    except TimeoutError:
        return patience_s
    finally:
        holding.cancel()
        writer.close()
    return time.monotonic() - began


async def _quietly(holding: Awaitable[None]) -> None:
    with contextlib.suppress(OSError):
        await holding


async def _silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Nothing at all."""


async def _headers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"GET /v2/health/live HTTP/1.1\r\nHost: 127.0.0.1\r\nX: ")
    await _drip(writer)


async def _first_line(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"GET /")
    await _drip(writer)


async def _body(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"POST /session HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 4000\r\n\r\n")
    await _drip(writer)


async def _drip(writer: asyncio.StreamWriter) -> None:
    while not writer.transport.is_closing():
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(DRIP_S)


async def _unread(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """The page's files over 256 streams, with room for no byte of an answer."""
    writer.write(PREFACE + frame(SETTINGS, 0, 0, struct.pack(">HI", INITIAL_WINDOW_SIZE, 0)))
    writer.write(b"".join(asked(number) for number in range(1, 2 * STREAMS, 2)))
    await writer.drain()


async def _resets(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Streams that are ended as soon as they have begun: CVE-2023-44487."""
    writer.write(PREFACE + frame(SETTINGS, 0, 0))
    for number in range(1, 200_000, 2):
        writer.write(asked(number) + frame(RESET, 0, number, struct.pack(">I", 8)))
        if number % 100 == 1:
            await writer.drain()
            if writer.transport.is_closing():
                break


async def _half_a_handshake(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """The beginning of a ClientHello that says it has 512 bytes."""
    writer.write(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
    await writer.drain()


def asked(number: int) -> bytes:
    """A request for the page over HTTP/2: GET, http and / from HPACK's static table, and the authority as it is."""
    return frame(HEADERS, END_OF_STREAM_AND_HEADERS, number, b"\x82\x86\x84\x01\x09127.0.0.1")


async def _no_message(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Calls of gRPC's health check, which is everybody's, whose message never comes, beside pings."""
    writer.write(PREFACE + frame(SETTINGS, 0, 0))
    writer.write(b"".join(frame(HEADERS, END_OF_HEADERS, number, _CHECK) for number in range(1, STREAMS, 2)))
    while not writer.transport.is_closing():
        writer.write(frame(_PING, 0, 0, bytes(8)))
        await writer.drain()
        await asyncio.sleep(DRIP_S)


KINDS = (
    Kind("silent connections", _silent, 5),
    Kind("first lines that drip", _first_line, 5),
    Kind("headers that drip", _headers, 10),
    Kind("calls without a message", _no_message, 70, 0.02),
    Kind("bodies that drip", _body, 45),
    Kind("answers that nobody reads", _unread, 100, 0.02),
    Kind("streams that are reset at once", _resets, 60, 0.01),
)
HANDSHAKES = Kind("half a TLS handshake", _half_a_handshake, 5)
