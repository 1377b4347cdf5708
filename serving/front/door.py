"""Everything behind one address, put together from the settings."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path

from ... import __version__
from ...export.bundle.manifest import Manifest
from ...export.bundle.models import FEATURE_READER, INDEX_VIDEO, MAX_VIDEO, SEARCH, SHORTLIST_VARIABLE, VIDEO_DECODER
from ...export.bundle.scorers import patience_s, scorer_of, shortlist_size
from ...export.bundle.shortlist import FOLDER, chooser_in
from ...export.bundle.store import read_manifest
from ...export.bundle.text.tokenizers import load_tokenizer
from ...export.bundle.video.limits import VideoLimits
from ..repository.plan import plan
from ..repository.served import Model
from .access import Access
from .access_log import AccessLog
from .arena import Arena
from .asgi import Receive, Scope, Send
from .background import Background
from .browsers import Browsers
from .call import Call, is_grpc
from .deployment import gallery_told, public_models
from .gate import Gate
from .health import Health
from .http_calls import HttpCalls
from .inference import Inference
from .jobs import Jobs
from .observing import Observing
from .page.page import Page, Shown
from .plain import Plain
from .public import Public
from .records import Records
from .rest import Rest
from .service import OPEN, STREAM, Service
from .settings import Settings
from .status import ClientGone, told
from .streams import Stream
from .supervision import DRAINED, Supervision
from .texts import Encoder
from .tracing import Tracing, otlp
from .upstream import Upstream
from .v1.film_files import FilmFiles
from .v1.films import Films
from .v1.gallery import GalleryCalls
from .v1.router import V1
from .v1.search import Searches
from .v1.uploads import Uploads

# A slot beyond the tensors' own bytes: they begin at round places.
_SLACK = 1 << 20
_DRAIN_LOOK_S = 0.05


class Door:
    """The front door of one run; make it within its event loop."""

    def __init__(self, settings: Settings) -> None:
        manifest, chooser = read_manifest(settings.deployment), chooser_in(settings.deployment)
        models = {model.name: model for model in plan(manifest, chooser) if isinstance(model, Model)}
        publics = public_models(
            manifest,
            VideoLimits.from_environment(),
            chooser=chooser,
            gallery=gallery_told(),
            shortlist_gallery=gallery_told(SHORTLIST_VARIABLE),
        )
        self._drained = settings.state / DRAINED
        self._supervision, self._access = Supervision(settings.state), Access(settings.tokens)
        self._upstream, self._metrics = Upstream(settings.triton), Upstream(settings.triton_metrics)
        largest = max(public.largest for public in publics.values())
        reader = VIDEO_DECODER if VIDEO_DECODER in models else FEATURE_READER
        # Two more than are decoded at once, so that the next video has arrived when a decoder is free.
        self._arena = Arena(settings.arena, models[reader].instances + 2, largest + _SLACK, settings.room)
        told = settings.telemetry
        tracing = Tracing(otlp(told.traces), told.trace_ratio) if told.traces else None
        log = None if told.access_log is None else AccessLog(told.access_log, texts=told.log_texts)
        self._records = Records(log, tracing)
        self._inference = Inference(
            publics[SEARCH],
            scorer_of(manifest).texts_in_flight,
            reader,
            self._upstream,
            _encoder(manifest, settings.deployment),
            self._arena,
            tracing,
            costly=patience_s(manifest) > 0,
            chooser=None if chooser is None else _encoder(chooser, settings.deployment / FOLDER),
        )
        self._health = Health(
            publics[SEARCH], self._inference.probe, self._upstream, self._supervision, patience_s(manifest)
        )
        self._inference.answered = self._health.answered
        self._jobs = Jobs(publics, self._arena)
        self._service = Service(publics, self._jobs, self._inference, self._health, self._upstream, __version__)
        self._observing = Observing(self._records, self._inference, self._health, self._supervision, self._metrics)
        self._gate = Gate()
        calls = HttpCalls(self._access, self._gate, self._records)
        browsers = Browsers(settings.names, known=settings.tokens is not None)
        rest = Rest(publics, calls, self._jobs, self._inference, self._upstream, __version__, browsers)
        files = None if settings.videos is None else FilmFiles(Films(settings.videos))
        v1 = V1(
            calls,
            browsers,
            Searches(self._jobs, self._inference, exact=chooser is None and shortlist_size(manifest) is None),
            Uploads(self._jobs, self._inference),
            GalleryCalls(self._jobs, self._inference, manifest, publics[INDEX_VIDEO], files),
            __version__,
        )
        page = Page(calls, self._access, browsers, _shown(settings, manifest, publics)) if settings.page else None
        self._plain = Plain(publics, self._health, self._observing, self._access, self._gate, rest, v1, page)
        self._background = Background()

    def start(self) -> None:
        """Begin to look after what is behind it."""
        self._drained.unlink(missing_ok=True)
        self._health.start()
        self._background.start(self._drain())
        self._background.start(self._access.follow())
        self._background.start(self._arena.forget_old())

    async def stop(self) -> None:
        """Give up what is left."""
        for part in (self._background, self._health, self._inference):
            await part.stop()
        self._upstream.close()
        self._metrics.close()
        self._arena.close()
        self._records.close()

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        if is_grpc(scope):
            headers = dict(scope["headers"])
            record = self._records.begin(self._service.method(scope["path"]), headers)
            call = Call(scope, headers, receive, send, record)
            with nullcontext() if call.path == STREAM else self._gate.answering():
                await self._call(call)
        else:
            with self._gate.answering():
                await self._plain.answer(scope, receive, send)

    async def _call(self, call: Call) -> None:
        try:
            caller = self._access.caller(call.peer, call.metadata.get(b"authorization"), call.path in OPEN)
            self._records.known(call.record, caller.name, call.metadata)
            with self._gate.inside(caller.name):
                if call.path == STREAM:
                    await Stream(call, caller, self._jobs, self._inference, self._records).run()
                    await call.finish()
                else:
                    await call.answer(await self._service.answer(call, caller))
        except ClientGone as error:
            call.record.fail(error)
        except Exception as error:
            call.record.fail(error)
            await call.finish(*told(error))
        finally:
            self._records.end_call(call.record)

    async def _drain(self) -> None:
        """Let nobody in once the run is to end, and tell the keeper when nothing is left to be answered."""
        while not self._gate.stopping or self._inference.unfinished or self._gate.unanswered:
            await asyncio.sleep(_DRAIN_LOOK_S)
            # Looked at here and not for every call: it is a file.
            self._gate.stopping = self._supervision.stopping
        self._drained.touch()


def _encoder(manifest: Manifest, folder: Path) -> Encoder:
    return Encoder(load_tokenizer(manifest.tokenizer, folder))


def _shown(settings: Settings, manifest: Manifest, publics: Mapping[str, Public]) -> Shown:
    largest = publics[INDEX_VIDEO].parameters.get(MAX_VIDEO)
    return Shown(
        manifest.system,
        None if largest is None else int(largest),
        files=settings.videos is not None,
        tokens=settings.tokens is not None,
    )
