"""Everything behind one address, put together from the settings."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from functools import partial

from .access import Access
from .access_log import AccessLog
from .aliases import HEADER, Aliases
from .arena import Arena
from .asgi import Receive, Scope, Send
from .background import Background
from .browsers import Browsers
from .call import Call, is_grpc
from .crowd import Crowd
from .deployed import Common, Deployed, Described
from .gate import Gate
from .page.page import Page, Shown
from .plain import Plain
from .sending import telling
from .service import STREAM
from .settings import Settings
from .status import ClientGone, told
from .streams import Stream
from .supervision import DRAINED, Supervision
from .tracing import Tracing, otlp
from .v1.film_files import FilmFiles
from .v1.films import Films

# A slot beyond the tensors' own bytes: they begin at round places.
_SLACK = 1 << 20
# Large requests that are received or answered at once, of however many callers. Their memory is limited beside.
_SLOTS = 32
_DRAIN_LOOK_S = 0.05


class Door:
    """The front door of one run; make it within its event loop."""

    def __init__(self, settings: Settings) -> None:
        found = [Described.of(at) for at in settings.all]
        self._drained = settings.state / DRAINED
        self._supervision, self._access = Supervision(settings.state), Access(settings.tokens)
        # One more than are decoded at once, so that a caller's next video has arrived when a decoder is free.
        most, largest = max(each.readers for each in found) + 1, max(each.largest for each in found)
        self._arena = Arena(settings.arena, max(_SLOTS, most), most, largest + _SLACK, settings.room)
        telemetry = settings.telemetry
        self._tracing = Tracing(otlp(telemetry.traces), telemetry.trace_ratio) if telemetry.traces else None
        path = telemetry.access_log
        self._log = None if path is None else AccessLog(path, texts=telemetry.log_texts)
        self._gate, self._crowd = Gate(), Crowd(settings.port, settings.connections)
        self._browsers = Browsers(settings.names, known=settings.tokens is not None)
        self._aliases = Aliases(settings.state)
        common = Common(
            self._access,
            self._gate,
            self._crowd,
            self._browsers,
            self._arena,
            self._log,
            self._tracing,
            None if settings.videos is None else FilmFiles(Films(settings.videos)),
            self._aliases,
            len(found) > 1,
        )
        self._aliases.begin([Deployed(each, common) for each in found])
        page = None
        if settings.page:
            names = [each.at.name for each in found] if common.several else []
            shown = Shown(settings.videos is not None, settings.tokens is not None, names)
            page = Page(self._aliases.now.calls, self._access, self._browsers, shown)
        self._plain = Plain(self._aliases, self._access, self._gate, self._browsers, page)
        self._background = Background()

    def start(self) -> None:
        """Begin to look after what is behind it."""
        self._drained.unlink(missing_ok=True)
        for model in self._aliases.all:
            model.start()
        self._background.start(self._drain())
        self._background.start(self._access.follow())
        self._background.start(self._crowd.follow())
        self._background.start(self._arena.forget_old())

    async def stop(self) -> None:
        """Give up what is left."""
        await self._background.stop()
        for model in self._aliases.all:
            await model.stop()
        self._arena.close()
        for told_to in (self._log, self._tracing):
            if told_to is not None:
                told_to.close()

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        peer = self._crowd.begin(scope)
        send = telling(send, partial(self._crowd.sent, peer), partial(self._crowd.slow, peer))
        try:
            headers = dict(scope["headers"])
            if is_grpc(scope["method"], headers):
                served = self._aliases.now
                record = served.records.begin(served.service.method(scope["path"]), headers)
                call = Call(scope, headers, receive, send, record)
                with nullcontext() if call.path == STREAM else self._gate.answering():
                    await self._call(call, served)
            else:
                with self._gate.answering():
                    await self._plain.answer(scope, receive, send)
        finally:
            self._crowd.finish(peer)

    async def _call(self, call: Call, served: Deployed) -> None:
        try:
            caller = self._access.caller(call.peer, call.metadata.get(b"authorization"), call.record.method)
            # A page's script can name gRPC's content type, too.
            self._browsers.check_if_one("POST", call.metadata)
            if HEADER in call.metadata:
                served = self._aliases.chosen(call.metadata[HEADER])
            served.records.known(call.record, caller.name, call.metadata)
            with self._gate.inside(caller, call.record.method):
                if call.path == STREAM:
                    await Stream(call, self._access, self._aliases).run()
                    await call.finish()
                else:
                    await call.answer(await served.service.answer(call, caller))
        except ClientGone as error:
            call.record.fail(error)
        except Exception as error:
            call.record.fail(error)
            await call.finish(*told(error))
        finally:
            served.records.end_call(call.record)

    async def _drain(self) -> None:
        """Let nobody in once the run is to end, and tell the keeper when nothing is left to be answered."""
        while not self._gate.stopping or self._unfinished or self._gate.unanswered:
            await asyncio.sleep(_DRAIN_LOOK_S)
            # Looked at here and not for every call: it is a file.
            self._gate.stopping = self._supervision.stopping
        self._drained.touch()

    @property
    def _unfinished(self) -> bool:
        return any(model.inference.unfinished for model in self._aliases.all)
