"""The files of videos over HTTP, in ranges."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ThreadPoolExecutor

from ....export.bundle.errors import ServerUnavailable
from ..admission import Admission
from ..replies import Reply, Stream
from .films import Film, Films
from .ranges import Unsatisfiable, read_range

# Of a range a player gets so much at once, and asks for the rest: what it does not look at is never read.
_AT_ONCE = 2 << 20
_PART = 256 << 10
# Files that are open at once.
_MOST = 64
_OK, _PARTIAL, _UNCHANGED, _UNSATISFIABLE = 200, 206, 304, 416


class FilmFiles:
    """Answers with files, which threads read: a disk may be slow."""

    def __init__(self, films: Films) -> None:
        self._films = films
        self._open = Admission(_MOST)
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="films")

    async def answer(self, headers: Mapping[bytes, bytes], id_: str, source: str, caller: str) -> Reply:
        """The part of a video's file that a request asks for.

        Raises:
            Refusal: there is no such file.
            ServerUnavailable: too many are being sent.
        """
        if not self._open.enter(caller):
            raise ServerUnavailable(f"the server sends {self._open.rows} files of videos already: try again")
        try:
            loop = asyncio.get_running_loop()
            film = await loop.run_in_executor(self._threads, self._films.open, id_, source)
        except BaseException:
            self._open.leave(caller)
            raise

        def close() -> None:
            film.close()
            self._open.leave(caller)

        told = [(b"accept-ranges", b"bytes"), (b"etag", film.tag), (b"cache-control", b"private, no-cache")]
        if headers.get(b"if-none-match") == film.tag:
            close()
            return Reply(_UNCHANGED, b"", film.kind, told)
        wanted = headers.get(b"range") if headers.get(b"if-range", film.tag) == film.tag else None
        try:
            part = read_range(wanted, film.size, _AT_ONCE)
        except Unsatisfiable:
            close()
            return Reply(_UNSATISFIABLE, b"", film.kind, [*told, (b"content-range", b"bytes */%d" % film.size)])
        if part is None:
            return Reply(_OK, b"", film.kind, told, Stream(film.size, self._parts(film, 0, film.size), close))
        start, end = part
        told.append((b"content-range", b"bytes %d-%d/%d" % (start, end - 1, film.size)))
        return Reply(_PARTIAL, b"", film.kind, told, Stream(end - start, self._parts(film, start, end), close))

    async def _parts(self, film: Film, start: int, end: int) -> AsyncIterator[bytes]:
        loop = asyncio.get_running_loop()
        while start < end:
            part = await loop.run_in_executor(self._threads, film.read, start, min(_PART, end - start))
            if not part:
                # It was cut meanwhile; the connection ends before what was announced.
                raise OSError("a video's file has become shorter")
            yield part
            start += len(part)
