"""A bundle and a gallery to a running server."""

from __future__ import annotations

import contextlib
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import click

from ..export.bundle.store import Bundle
from .gallery.store import Gallery
from .repository.deploy import deploy
from .server.embedded import EmbeddedServer

GALLERY_VARIABLE = "FRAMESIFT_GALLERY"


@contextlib.contextmanager
def running(
    bundle: Bundle,
    gallery: Path,
    *,
    host: str = "127.0.0.1",
    port: int | None = None,
    http_port: int | None = None,
    metrics_port: int | None = None,
) -> Iterator[EmbeddedServer]:
    """Serve ``bundle`` on an embedded Triton server while the block runs; ports not given are free ones.

    Raises:
        GalleryMismatch: the gallery was written by another model.
        ServerStartError: the server did not start; the message says why.
    """
    # Opening it here tells a user about a foreign gallery before a server is started.
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
        )
        with server:
            yield server
    finally:
        shutil.rmtree(folder, ignore_errors=True)
