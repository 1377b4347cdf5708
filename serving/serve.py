"""A bundle and a gallery to a running server."""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import click

from ..export.bundle.models import GALLERY_SEARCH, GALLERY_VARIABLE, SEARCH_IDS
from ..export.bundle.ports import TEXT_ENCODER
from ..export.bundle.store import Bundle
from ..export.bundle.video.limits import DEFAULT_LIMITS, VARIABLE, VideoLimits
from .gallery.store import Gallery
from .repository.deploy import DOOR, deploy
from .server.door import Reach
from .server.embedded import EmbeddedServer

# What a Triton server that is started again loads first.
_SEARCH_MODELS = (TEXT_ENCODER, GALLERY_SEARCH, SEARCH_IDS)


@contextlib.contextmanager
def running(
    bundle: Bundle,
    gallery: Path,
    reach: Reach | None = None,
    *,
    limits: VideoLimits = DEFAULT_LIMITS,
    hang_after_s: float | None = None,
) -> Iterator[EmbeddedServer]:
    """Serve ``bundle`` on an embedded Triton server while the block runs, on a free port of this machine by default.

    Args:
        limits: the largest video that is decoded.
        hang_after_s: as for ``EmbeddedServer``; by default two minutes, or twice what one video may take.

    Raises:
        GalleryMismatch: the gallery was written by another model.
        ServerStartError: the server did not start; the message says why.
    """
    # Opened here, a foreign gallery is refused before a server is started.
    with Gallery.open(gallery, bundle.manifest):
        pass
    folder = Path(tempfile.mkdtemp(prefix="framesift-"))
    try:
        repository = deploy(bundle, folder / "deployment", "embedded", link=True)
        server = EmbeddedServer(
            repository,
            run_dir=folder / "run",
            deployment=folder / "deployment" / DOOR,
            reach=reach,
            first=_SEARCH_MODELS,
            env={GALLERY_VARIABLE: str(gallery.absolute()), VARIABLE: limits.settings()},
            hang_after_s=max(120.0, 2 * limits.max_work) if hang_after_s is None else hang_after_s,
        )
        with server:
            yield server
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def serve(bundle: Path, gallery: Path, reach: Reach, limits: VideoLimits, *, verbose: bool) -> None:
    """Serve until SIGINT or SIGTERM, telling the user where.

    Raises:
        BundleError, GalleryMismatch, ServerStartError: before anything listens.
        ServerError: the server ended by itself.
    """
    opened = Bundle.open(bundle)
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: stopping.set())
    click.echo(f"loading {bundle} (model {opened.manifest.fingerprint[:12]})", err=True)
    with running(opened, gallery, reach, limits=limits) as server:
        http = f"{'https' if reach.tls else 'http'}://{server.address}"
        click.echo(f"ready   gRPC {server.address}")
        click.echo(f"        health {http}/v2/health/ready")
        click.echo(f"        metrics {http}/metrics")
        if reach.insecure:
            click.echo("        --insecure: whoever reaches this address may call, and read what is sent", err=True)
        click.echo(f"        gallery {gallery}, log {server.log_path}")
        click.echo("        Ctrl-C stops it")
        with _followed(server.log_path) if verbose else contextlib.nullcontext():
            while server.alive and not stopping.wait(0.2):
                pass
        if not stopping.is_set():
            server.wait()
        click.echo("stopping: requests under way are finished first", err=True)


@contextlib.contextmanager
def _followed(log: Path) -> Iterator[None]:
    tail = subprocess.Popen(["tail", "--lines=+1", "--follow", str(log)], stdout=sys.stderr)
    try:
        yield
    finally:
        tail.terminate()
        tail.wait()
