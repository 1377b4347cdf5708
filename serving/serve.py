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

from ..export.bundle.models import GALLERY_VARIABLE
from ..export.bundle.store import Bundle
from .gallery.store import Gallery
from .repository.deploy import deploy
from .server.embedded import EmbeddedServer


@contextlib.contextmanager
def running(
    bundle: Bundle,
    gallery: Path,
    *,
    host: str = "127.0.0.1",
    port: int | None = None,
    http_port: int | None = None,
    metrics_port: int | None = None,
    hang_after_s: float = 120.0,
) -> Iterator[EmbeddedServer]:
    """Serve ``bundle`` on an embedded Triton server while the block runs; ports not given are free ones.

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
            host=host,
            grpc_port=port,
            http_port=http_port,
            metrics_port=metrics_port,
            env={GALLERY_VARIABLE: str(gallery.absolute())},
            hang_after_s=hang_after_s,
        )
        with server:
            yield server
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def serve(
    bundle: Path, gallery: Path, *, host: str, port: int, http_port: int, metrics_port: int, verbose: bool
) -> None:
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
    with running(opened, gallery, host=host, port=port, http_port=http_port, metrics_port=metrics_port) as server:
        click.echo(f"ready   gRPC {server.grpc_address}")
        click.echo(f"        health http://{server.http_address}/v2/health/ready")
        click.echo(f"        metrics http://{server.metrics_address}/metrics")
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
