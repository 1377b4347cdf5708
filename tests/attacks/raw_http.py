"""Bytes on a connection of one's own, and the answer, if one comes: no client's library stands between."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from typing import NamedTuple


class Answer(NamedTuple):
    """An answer: its status, None where there was none, its headers in small letters, and its body."""

    status: int | None
    headers: Mapping[str, str] = {}
    body: bytes = b""


async def exchange(address: str, sent: bytes, patience_s: float, *, leaves: bool = False) -> Answer:
    """Send bytes and read one answer.

    Args:
        patience_s: for all of the answer; who waits longer has none.
        leaves: say with the last byte that none will follow.
    """
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=1 << 20)
    try:
        with contextlib.suppress(OSError, EOFError, ValueError):
            # An answer may come, and the connection end, before all is sent.
            writer.write(sent)
            with contextlib.suppress(OSError):
                await asyncio.wait_for(writer.drain(), patience_s)
                if leaves:
                    writer.write_eof()
            return await asyncio.wait_for(_answer(reader, sent.startswith(b"HEAD ")), patience_s)
        return Answer(None)
    except TimeoutError:
        return Answer(None)
    finally:
        writer.close()


async def _answer(reader: asyncio.StreamReader, head_alone: bool) -> Answer:
    status = 100
    while status == 100:
        line = await reader.readuntil(b"\r\n")
        status = int(line.split(b" ")[1]) if line.startswith(b"HTTP/1.") else 0
        headers: dict[str, str] = {}
        while status and (line := await reader.readuntil(b"\r\n")) != b"\r\n":
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.strip().lower()] = value.strip()
    if not status:
        return Answer(None)
    if head_alone or status in (204, 304):
        return Answer(status, headers)
    if "content-length" in headers:
        return Answer(status, headers, await reader.readexactly(int(headers["content-length"])))
    return Answer(status, headers, await reader.read(1 << 20))
