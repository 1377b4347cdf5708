"""A deployment's folder to a running server, until someone ends it."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Mapping
from pathlib import Path

import click

from ...export.bundle.errors import ServerStartError
from ...export.bundle.models import (
    GALLERY_SEARCH,
    GALLERY_VARIABLE,
    SEARCH_DETAILS,
    SEARCH_IDS,
    SEARCH_NAMED,
    SHORTLIST_VARIABLE,
)
from ...export.bundle.ports import TEXT_ENCODER
from ...export.bundle.scorers import film_patience_s, patience_s
from ...export.bundle.shortlist import PREFIX, chooser_in
from ...export.bundle.store import read_manifest
from ...export.bundle.video.limits import DEFAULT_LIMITS, VARIABLE, VideoLimits
from ..front.telemetry import NOTHING, Telemetry
from ..gallery.reader import UNANSWERED
from ..repository.deploy import DOOR, REPOSITORY
from .door import Reach
from .embedded import EmbeddedServer
from .files import ServerFiles
from .loading import Report, quiet
from .log import last
from .passing_on import passed_on, told

# What a Triton server that is started again loads first.
_SEARCH_MODELS = (TEXT_ENCODER, GALLERY_SEARCH, SEARCH_IDS, SEARCH_DETAILS, SEARCH_NAMED)


def server_of(
    deployment: Path,
    run_dir: Path,
    gallery: Path,
    reach: Reach | None = None,
    *,
    shortlist_gallery: Path | None = None,
    telemetry: Telemetry = NOTHING,
    repository: Path | None = None,
    files: ServerFiles | None = None,
    limits: VideoLimits = DEFAULT_LIMITS,
    hang_after_s: float | None = None,
    env: Mapping[str, str] | None = None,
    report: Report = quiet,
    door: bool = True,
) -> EmbeddedServer:
    """The server of what ``repository.deploy`` wrote, not started.

    Args:
        gallery: folder of a gallery, which must be there.
        shortlist_gallery: that of the bundle that chooses candidates, where the deployment has one.
        telemetry: what the door tells of calls.
        repository: the models, if not the deployment's own folder of them; it must be writable.
        limits: the largest video that is decoded.
        hang_after_s: as for ``EmbeddedServer``; by default two minutes, or twice what one video or the slowest search
            may take.
        env: further environment variables for the models.
        report: as for ``EmbeddedServer``.
        door: whether it has a door of its own.

    Raises:
        ServerStartError: a path can't be used, or there is one gallery where two are needed, or two for one.
        BundleError: the deployment's manifest can't be read.
    """
    chooser = chooser_in(deployment / DOOR)
    if hang_after_s is None:
        served = [each for each in (read_manifest(deployment / DOOR), chooser) if each is not None]
        longest = max(patience(each) for each in served for patience in (patience_s, film_patience_s))
        hang_after_s = max(120.0, 2 * limits.max_work, 2 * longest)
    chooses = chooser is not None
    if chooses != (shortlist_gallery is not None):
        raise ServerStartError(
            "the deployment has a bundle that chooses candidates, and needs the folder of its gallery too"
            if chooses
            else "the deployment has no bundle that chooses candidates, so it needs no second gallery"
        )
    others = {} if shortlist_gallery is None else {SHORTLIST_VARIABLE: str(shortlist_gallery.absolute())}
    return EmbeddedServer(
        repository or deployment / REPOSITORY,
        run_dir=run_dir,
        deployment=deployment / DOOR if door else None,
        reach=reach,
        telemetry=telemetry,
        files=files,
        first=(*((PREFIX + TEXT_ENCODER,) if chooses else ()), *_SEARCH_MODELS),
        env={GALLERY_VARIABLE: str(gallery.absolute()), VARIABLE: limits.settings(), **others, **(env or {})},
        loads=[gallery] if shortlist_gallery is None else [gallery, shortlist_gallery],
        hang_after_s=hang_after_s,
        report=report,
    )


def stop_event() -> threading.Event:
    """Is set once the process is told to end."""
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: stopping.set())
    return stopping


def attend(
    server: EmbeddedServer,
    reach: Reach,
    gallery: Path,
    stopping: threading.Event,
    *,
    verbose: bool,
    aside: bool = False,
    json_lines: bool = False,
) -> None:
    """Tell the user where a server is that was started, and return once it is to end.

    Args:
        verbose: show the server's log.
        aside: tell it on the standard error, because something else is on the standard output.
        json_lines: tell everything as lines of JSON.

    Raises:
        ServerError: the server ended by itself.
    """

    def tell(line: str, *, err: bool = aside) -> None:
        click.echo(told(line) if json_lines else line, err=err)

    http = f"{'https' if reach.tls else 'http'}://{server.address}"
    tell(f"ready   gRPC {server.address}")
    if reach.page:
        tell(f"        page {http}/")
    tell(f"        health {http}/v2/health/ready")
    tell(f"        metrics {http}/metrics")
    if reach.insecure:
        tell("        insecure: whoever reaches this address may call, and read what is sent", err=True)
    if why := last(server.log_path, UNANSWERED):
        tell(f"        not ready for searches: {why}", err=True)
    tell(f"        gallery {gallery}, log {server.log_path}")
    tell("        Ctrl-C stops it")
    with passed_on(server.log_path, json_lines=json_lines) if verbose else contextlib.nullcontext():
        while server.alive and not stopping.wait(0.2):
            pass
    if not stopping.is_set():
        server.wait()
    tell("stopping: requests under way are finished first", err=True)
