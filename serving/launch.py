"""What a deployment's ``start.sh`` runs: its Triton server and front door, kept running until the container ends.

python3 -m framesift.serving.launch DEPLOYMENT
"""

from __future__ import annotations

import shutil
import signal
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

import click

from ..export.bundle.engines.check import CHECKED, check, library_version
from ..export.bundle.engines.device import local_device
from ..export.bundle.errors import FramesiftError
from ..export.bundle.models import GALLERY_SEARCH, GALLERY_VARIABLE, SHORTLIST_VARIABLE
from ..export.bundle.ports import SCORER
from ..export.bundle.shortlist import chooser_in
from ..export.bundle.storages import storage_of
from ..export.bundle.store import read_manifest
from ..export.bundle.video.limits import VideoLimits
from .cluster_option import cluster_of, cluster_options
from .front.telemetry import Telemetry
from .gallery.store import Gallery
from .indexing.memory import free_bytes, in_gib
from .needed import needed
from .repository.deploy import DOOR, REPOSITORY
from .repository.render import ask_shards
from .server.addresses import ANY
from .server.deployment import attend, server_of, stop_event
from .server.files import of_image
from .server.passing_on import log_as_json, told
from .server.printed import STDOUT, printed
from .server.secrets import PORT, PORT_VARIABLE, SECRETS, SECRETS_VARIABLE, reach_of
from .shards.cluster import check_fits

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
@click.option("--log-format", envvar="FRAMESIFT_LOG_FORMAT", default="text", type=click.Choice(("text", "json")))
@click.option("--trace-endpoint", envvar="OTEL_EXPORTER_OTLP_ENDPOINT", default="")
@click.option("--trace-ratio", envvar="FRAMESIFT_TRACE_RATIO", default=0.1, type=click.FloatRange(0, 1))
@click.option("--triton", envvar="FRAMESIFT_TRITON", default=TRITON, type=_FOLDER)
@cluster_options
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
    log_format: str,
    trace_endpoint: str,
    trace_ratio: float,
    triton: Path,
    **cluster: Any,
) -> None:
    """Serve DEPLOYMENT with the Triton server of NVIDIA's image until SIGTERM."""
    on, as_json = cluster_of(**cluster), log_format == "json"
    if as_json:
        log_as_json()

    def say(line: str) -> None:
        click.echo(told(line) if as_json else line, err=True)

    engines = deployment / CHECKED
    config = config or (TENSORRT if engines.is_dir() else ONNXRUNTIME)
    limits = VideoLimits.from_environment()
    known = frozenset(name.lower() for name in names)
    reach = replace(reach_of(secrets, host, port, insecure=insecure), page=page, videos=videos, names=known)
    files = of_image(triton, "" if config == ONNXRUNTIME else config)
    if config == TENSORRT:
        check(engines, local_device(), library_version())
    # Loading may take longer than a container is given to end.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _give_up)
    manifest = read_manifest(deployment / DOOR)
    say(f"loading {manifest.system} (model {manifest.fingerprint[:12]})")
    chooser = chooser_in(deployment / DOOR)
    if on is not None:
        check_fits(manifest, chosen=chooser is not None)
    records = 0
    # Shards are opened by whoever searches them.
    for served, place in ((None if on else manifest, gallery), (chooser, shortlist_gallery)):
        if served is not None:
            with Gallery.open(place, served) as found:
                say(f"gallery {place}: {found.count:,} videos")
                records += found.reader().rows * found.schema.row_bytes
    graphs = [path for path in (deployment / REPOSITORY).glob("*/1/*.onnx") if path.parts[-3] != GALLERY_SEARCH]
    takes, free = needed(graphs, records, storage_of(manifest)), free_bytes()
    say(f"it takes about {in_gib(takes)} of memory, of {in_gib(free)} that are free here")
    if takes > free:
        say("that is too much: this container may be ended for it. Give it more, or shards, or keep videos in int8")
    folder = Path(tempfile.mkdtemp(prefix="framesift-"))
    try:
        repository = folder / REPOSITORY
        _mirror(deployment / REPOSITORY, repository)
        asked = Telemetry(access_log, log_texts, trace_endpoint, trace_ratio)
        with printed(asked) as telemetry, ExitStack() as stack:
            env = None
            if on is not None:
                ask_shards(repository, manifest)
                scorer = (repository / GALLERY_SEARCH / "1" / f"{SCORER}.onnx").read_bytes()
                env = stack.enter_context(on.shards(manifest, scorer, gallery, folder, say))
            server = server_of(
                deployment,
                folder / "run",
                gallery,
                reach,
                shortlist_gallery=None if chooser is None else shortlist_gallery,
                telemetry=telemetry,
                repository=repository,
                files=files,
                limits=limits,
                env=env,
                report=say,
            )
            with server:
                attend(
                    server, reach, gallery, stop_event(), verbose=True, aside=access_log == STDOUT, json_lines=as_json
                )
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _give_up(number: int, _: FrameType | None) -> None:
    raise SystemExit(128 + number)


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
