"""What a deployment's ``start.sh`` runs: its Triton server and front door, kept running until the container ends.

python3 -m framesift.serving.server.launch DEPLOYMENT
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import click

from ...export.bundle.engines.check import CHECKED, check, library_version
from ...export.bundle.engines.device import local_device
from ...export.bundle.errors import FramesiftError
from ...export.bundle.models import GALLERY_VARIABLE, SHORTLIST_VARIABLE
from ...export.bundle.shortlist import chooser_in
from ...export.bundle.store import read_manifest
from ...export.bundle.video.limits import VideoLimits
from ..front.telemetry import Telemetry
from ..gallery.store import Gallery
from ..repository.deploy import DOOR, REPOSITORY
from .addresses import ANY
from .deployment import attend, server_of, stop_event
from .files import of_image
from .printed import STDOUT, printed
from .secrets import PORT, PORT_VARIABLE, SECRETS, SECRETS_VARIABLE, reach_of

TRITON = "/opt/tritonserver"
ONNXRUNTIME, TENSORRT = "onnxruntime", "tensorrt"
_CONFIGURATIONS = (ONNXRUNTIME, "cuda", "accelerated", TENSORRT)
# Files that are larger are graphs and engines.
_LARGE = 1 << 20
_FOLDER = click.Path(file_okay=False, path_type=Path)


@click.command()
@click.argument("deployment", type=_FOLDER)
@click.option("--gallery", envvar=GALLERY_VARIABLE, default="/gallery", type=_FOLDER)
@click.option("--shortlist-gallery", envvar=SHORTLIST_VARIABLE, default="/shortlist", type=_FOLDER)
@click.option("--secrets", envvar=SECRETS_VARIABLE, default=SECRETS, type=_FOLDER)
@click.option("--host", envvar="FRAMESIFT_HOST", default=ANY)
@click.option("--port", envvar=PORT_VARIABLE, default=PORT, type=click.IntRange(1, 65535))
@click.option("--insecure", envvar="FRAMESIFT_INSECURE", is_flag=True)
@click.option("--page", envvar="FRAMESIFT_PAGE", is_flag=True)
@click.option("--videos", envvar="FRAMESIFT_VIDEOS", type=_FOLDER)
@click.option("--name", "names", envvar="FRAMESIFT_NAMES", multiple=True)
@click.option("--config", envvar="FRAMESIFT_CONFIG", type=click.Choice(_CONFIGURATIONS))
@click.option("--access-log", envvar="FRAMESIFT_ACCESS_LOG", type=click.Path(path_type=Path))
@click.option("--log-texts", envvar="FRAMESIFT_LOG_TEXTS", is_flag=True)
@click.option("--trace-endpoint", envvar="OTEL_EXPORTER_OTLP_ENDPOINT", default="")
@click.option("--trace-ratio", envvar="FRAMESIFT_TRACE_RATIO", default=0.1, type=click.FloatRange(0, 1))
@click.option("--triton", envvar="FRAMESIFT_TRITON", default=TRITON, type=_FOLDER)
def main(
    deployment: Path,
    gallery: Path,
    shortlist_gallery: Path,
    secrets: Path,
    host: str,
    port: int,
    insecure: bool,
    page: bool,
    videos: Path | None,
    names: tuple[str, ...],
    config: str | None,
    access_log: Path | None,
    log_texts: bool,
    trace_endpoint: str,
    trace_ratio: float,
    triton: Path,
) -> None:
    """Serve DEPLOYMENT with the Triton server of NVIDIA's image until SIGTERM."""
    engines = deployment / CHECKED
    config = config or (TENSORRT if engines.is_dir() else ONNXRUNTIME)
    limits = VideoLimits.from_environment()
    known = frozenset(name.lower() for name in names)
    reach = replace(reach_of(secrets, host, port, insecure=insecure), page=page, videos=videos, names=known)
    files = of_image(triton, "" if config == ONNXRUNTIME else config)
    if config == TENSORRT:
        check(engines, local_device(), library_version())
    stopping = stop_event()
    manifest = read_manifest(deployment / DOOR)
    click.echo(f"loading {manifest.system} (model {manifest.fingerprint[:12]})", err=True)
    chooser = chooser_in(deployment / DOOR)
    for served, place in ((manifest, gallery), (chooser, shortlist_gallery)):
        if served is not None:
            with Gallery.open(place, served) as found:
                click.echo(f"gallery {place}: {found.count:,} videos", err=True)
    folder = Path(tempfile.mkdtemp(prefix="framesift-"))
    try:
        _mirror(deployment / REPOSITORY, folder / REPOSITORY)
        asked = Telemetry(access_log, log_texts, trace_endpoint, trace_ratio)
        with printed(asked) as telemetry:
            server = server_of(
                deployment,
                folder / "run",
                gallery,
                reach,
                shortlist_gallery=None if chooser is None else shortlist_gallery,
                telemetry=telemetry,
                repository=folder / REPOSITORY,
                files=files,
                limits=limits,
                report=lambda line: click.echo(line, err=True),
            )
            with server:
                attend(server, reach, gallery, stopping, verbose=True, aside=access_log == STDOUT)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _mirror(repository: Path, out: Path) -> None:
    """A repository that can be written: a model is loaded again once its folder's time has changed."""

    def place(source: str, target: str) -> None:
        if Path(source).stat().st_size > _LARGE:
            Path(target).symlink_to(Path(source).resolve())
        else:
            shutil.copyfile(source, target)

    shutil.copytree(repository, out, copy_function=place)


if __name__ == "__main__":
    try:
        main(prog_name="start.sh")
    except (FramesiftError, OSError, ImportError) as fault:
        sys.exit(f"Error: {fault}")
