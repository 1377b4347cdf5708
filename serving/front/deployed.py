"""One deployment behind the door: its Triton server, and everything that answers with it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from ... import __version__
from ...export.bundle.manifest import Manifest
from ...export.bundle.models import (
    FEATURE_READER,
    GALLERY_VARIABLE,
    INDEX_VIDEO,
    SEARCH,
    SHORTLIST_VARIABLE,
    VIDEO_DECODER,
)
from ...export.bundle.scorers import patience_s, scorer_of, shortlist_size
from ...export.bundle.shortlist import FOLDER, chooser_in
from ...export.bundle.store import read_manifest
from ...export.bundle.text.tokenizers import load_tokenizer
from ...export.bundle.video.limits import VideoLimits
from ..repository.plan import plan
from ..repository.served import Model
from .access import Access
from .access_log import AccessLog
from .aliases import Aliases
from .arena import Arena
from .behind import Behind
from .browsers import Browsers
from .crowd import Crowd
from .deployment import gallery_told, public_models
from .gate import Gate
from .health import Health
from .http_calls import HttpCalls
from .inference import Inference
from .jobs import Jobs
from .likes import refused
from .observing import Observing
from .public import Public
from .records import Records
from .rest import Rest
from .service import Service
from .supervision import Supervision
from .texts import Encoder
from .tracing import Tracing
from .upstream import Upstream
from .v1.film_files import FilmFiles
from .v1.gallery import GalleryCalls
from .v1.models import ModelCalls
from .v1.router import V1
from .v1.search import Searches
from .v1.uploads import Uploads


@dataclass(frozen=True)
class Described:
    """What a deployment's files say.

    Attributes:
        chooser: the manifest of the bundle that chooses candidates, if one does.
        publics: what may be called, by name.
        reader: the step that opens the files of a video, of which so many may run at once.
    """

    at: Behind
    manifest: Manifest
    chooser: Manifest | None
    publics: dict[str, Public]
    reader: str
    readers: int

    @staticmethod
    def of(at: Behind) -> Described:
        """Read them.

        Raises:
            BundleError: a manifest can't be read.
        """
        manifest, chooser = read_manifest(at.deployment), chooser_in(at.deployment)
        models = {model.name: model for model in plan(manifest, chooser) if isinstance(model, Model)}
        reader = VIDEO_DECODER if VIDEO_DECODER in models else FEATURE_READER
        own = os.environ.get(GALLERY_VARIABLE) if at.gallery is None else os.fspath(at.gallery)
        publics = public_models(
            manifest,
            VideoLimits.from_environment(),
            chooser=chooser,
            gallery=gallery_told(own),
            shortlist_gallery=gallery_told(os.environ.get(SHORTLIST_VARIABLE)),
        )
        return Described(at, manifest, chooser, publics, reader, models[reader].instances)

    @property
    def largest(self) -> int:
        """The most bytes of a request's tensors."""
        return max(public.largest for public in self.publics.values())


@dataclass(frozen=True)
class Common:
    """What all deployments behind a door have in common."""

    access: Access
    gate: Gate
    crowd: Crowd
    browsers: Browsers
    arena: Arena
    log: AccessLog | None
    tracing: Tracing | None
    files: FilmFiles | None
    aliases: Aliases
    several: bool


class Deployed:
    """One deployment; make it within the door's event loop.

    Attributes:
        name: by which it was started.
        calls: those over plain HTTP.
    """

    def __init__(self, found: Described, common: Common) -> None:
        at, manifest, publics = found.at, found.manifest, found.publics
        self.name, self.publics, self.manifest = at.name, publics, manifest
        self._upstream, self._metrics = Upstream(at.triton), Upstream(at.triton_metrics)
        supervision = Supervision(at.state)
        self.records = Records(common.log, common.tracing, served=at.name if common.several else "")
        self.inference = Inference(
            publics[SEARCH],
            scorer_of(manifest).texts_in_flight,
            found.reader,
            self._upstream,
            Encoder(load_tokenizer(manifest.tokenizer, at.deployment)),
            common.arena,
            common.tracing,
            costly=patience_s(manifest) > 0,
            chooser=None
            if found.chooser is None
            else Encoder(load_tokenizer(found.chooser.tokenizer, at.deployment / FOLDER)),
        )
        self.health = Health(publics[SEARCH], self.inference.probe, self._upstream, supervision, patience_s(manifest))
        self.inference.answered = self.health.answered
        self.jobs = Jobs(publics, common.arena, refused(manifest))
        self.service = Service(publics, self.jobs, self.inference, self.health, self._upstream, __version__)
        self.observing = Observing(self.records, self.inference, self.health, supervision, common.crowd, self._metrics)
        self.calls = HttpCalls(common.access, common.gate, self.records)
        self.rest = Rest(publics, self.calls, self.jobs, self.inference, self._upstream, __version__, common.browsers)
        exact = found.chooser is None and shortlist_size(manifest) is None
        self.searches = Searches(self.jobs, self.inference, common.aliases, exact=exact)
        self.v1 = V1(
            self.calls,
            common.browsers,
            self.searches,
            Uploads(self.jobs, self.inference),
            GalleryCalls(self.jobs, self.inference, manifest, publics[INDEX_VIDEO], common.files),
            ModelCalls(common.aliases),
            __version__,
        )

    def told(self) -> dict[str, Any]:
        """What it is, as JSON's types."""
        return {
            "name": self.name,
            "system": self.manifest.system,
            "fingerprint": self.manifest.fingerprint,
            "ready": self.health.ready,
            "writing": self.inference.requests,
        }

    def start(self) -> None:
        """Begin to look after it."""
        self.health.start()

    async def stop(self) -> None:
        """Give up what is left."""
        await self.health.stop()
        await self.inference.stop()
        self._upstream.close()
        self._metrics.close()
