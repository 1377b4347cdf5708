"""``framesift serve``, ``framesift token`` and ``framesift demo``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..export.bundle.dependent import Dependent
from ..export.bundle.errors import InvalidRequest
from ..export.bundle.storage_names import Storage
from .cluster_option import cluster_of, cluster_options
from .front.tokens import ROLES
from .storage_option import coarse_option, storage_option

_FOLDER = click.Path(file_okay=False, path_type=Path)
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_FILE_OUT = click.Path(dir_okay=False, path_type=Path)
_PORT = click.IntRange(1, 65535)


@click.command("serve")
@click.argument("bundles", nargs=-1, required=True, metavar="BUNDLE | NAME=BUNDLE:GALLERY ...")
@click.option("--gallery", type=_FOLDER, help="Where video records of BUNDLE are kept; made if absent.")
@storage_option("How videos are kept in memory: int8 takes half of it and finds the same, with the same scores.")
@coarse_option()
@click.option(
    "--device",
    type=click.Choice(("cpu", "cuda")),
    default="cpu",
    show_default=True,
    help="cuda: encode and search on all GPUs of this machine.",
)
@click.option(
    "--shortlist-from",
    cls=Dependent,
    needs=("--shortlist-gallery",),
    type=_FOLDER,
    help="A bundle whose gallery chooses candidates for BUNDLE.",
)
@click.option(
    "--shortlist-gallery",
    cls=Dependent,
    needs=("--shortlist-from",),
    type=_FOLDER,
    help="That bundle's gallery, of the same videos.",
)
@cluster_options
@click.option("--host", default="127.0.0.1", show_default=True, help="IPv4 address to listen on.")
@click.option("--port", default=8001, show_default=True, type=_PORT, help="gRPC and HTTP.")
@click.option("--tokens", type=_FILE, help="Callers need a token of this file: see `framesift token`.")
@click.option(
    "--tls-cert",
    cls=Dependent,
    needs=("--tls-key",),
    type=_FILE,
    help="The server's certificate; connections are encrypted.",
)
@click.option("--tls-key", cls=Dependent, needs=("--tls-cert",), type=_FILE, help="Its private key.")
@click.option(
    "--tls-clients",
    cls=Dependent,
    needs=("--tls-cert",),
    type=_FILE,
    help="Only clients whose certificate this authority signed may connect.",
)
@click.option("--page", is_flag=True, help="Show a page to browsers: searches, films, uploads.")
@click.option(
    "--videos",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Whoever may search may see the videos below this folder.",
)
@click.option(
    "--name",
    "names",
    multiple=True,
    help="A name by which browsers may ask, beside the address and localhost; may be repeated.",
)
@click.option("--insecure", is_flag=True, help="Listen beyond this machine without tokens or TLS.")
@click.option(
    "--video-limit",
    "video_limits",
    multiple=True,
    metavar="NAME=VALUE",
    help="Change a limit of videos, such as work=120 or bytes=1G: every refusal names its limit. May be repeated.",
)
@click.option("--access-log", type=_FILE_OUT, help="Append a line of JSON for every call; - is the standard output.")
@click.option(
    "--log-texts",
    cls=Dependent,
    needs=("--access-log",),
    is_flag=True,
    help="Have the access log hold the texts that were searched for.",
)
@click.option(
    "--trace-endpoint",
    envvar="OTEL_EXPORTER_OTLP_ENDPOINT",
    show_envvar=True,
    metavar="URL",
    default="",
    help="Send traces to this collector, by OTLP over HTTP.",
)
@click.option(
    "--trace-ratio",
    cls=Dependent,
    needs=("--trace-endpoint",),
    default=0.1,
    show_default=True,
    type=click.FloatRange(0, 1),
    help="The share of requests to trace where clients have no trace; where they have one, it says.",
)
@click.option("--verbose", is_flag=True, help="Show the server's log.")
def serve_command(
    bundles: tuple[str, ...],
    gallery: Path | None,
    storage: Storage,
    coarse: bool,
    device: str,
    shortlist_from: Path | None,
    shortlist_gallery: Path | None,
    host: str,
    port: int,
    tokens: Path | None,
    tls_cert: Path | None,
    tls_key: Path | None,
    tls_clients: Path | None,
    page: bool,
    videos: Path | None,
    names: tuple[str, ...],
    insecure: bool,
    video_limits: tuple[str, ...],
    access_log: Path | None,
    log_texts: bool,
    trace_endpoint: str,
    trace_ratio: float,
    verbose: bool,
    **cluster: Any,
) -> None:
    """Serve BUNDLE on an embedded Triton server, until Ctrl-C.

    Several bundles are each given a name and a gallery. Clients choose one by its name, as with --model NAME of
    `framesift search`. The first answers those who choose none, and `framesift models switch` has another answer
    instead.

    The bundle's files are verified and the gallery must be of the same model. What crashes or hangs is started again.
    Everything listens on this machine alone unless --host says otherwise; then callers need tokens, and connections are
    encrypted.

    A model that reads every text and video together may take its candidates from another model: `index` fills both
    galleries, and a search scores the best videos of the other.

    With --device cuda what doesn't fit in a GPU's memory is refused before anything listens. Serving on a GPU has not
    been run yet: see docs/gpu.md.

    A gallery that is too large for one machine is split, see `framesift gallery split`, and its shards are searched on
    the nodes of a Ray cluster, which all have to see the gallery's folder.

    \b
    Examples:
      framesift serve bundles/demo --gallery galleries/demo
      framesift serve bundles/pairs --gallery galleries/pairs \\
          --shortlist-from bundles/demo --shortlist-gallery galleries/demo
      framesift serve bundles/demo --gallery galleries/demo --host 0.0.0.0 \\
          --tokens tokens --tls-cert server.crt --tls-key server.key
      framesift serve bundles/demo --gallery galleries/demo --page --videos films/
      framesift serve bundles/demo --gallery galleries/demo --device cuda
      framesift serve films=bundles/demo:galleries/demo next=bundles/new:galleries/new
      framesift serve bundles/demo --gallery galleries/three --cluster 10.0.0.7:6379 --shard-replicas 2
    """
    from ..export.bundle.video.limits import VideoLimits
    from .front.certificates import Tls
    from .front.telemetry import Telemetry
    from .repository.placement import Placement
    from .serve import serve
    from .server.door import Reach
    from .several import Named, serve_several

    tls = None if tls_cert is None or tls_key is None else Tls(tls_cert, tls_key, tls_clients)
    shortlist = None if shortlist_from is None or shortlist_gallery is None else (shortlist_from, shortlist_gallery)
    on = cluster_of(**cluster)
    try:
        limits = VideoLimits.from_environment().with_settings(video_limits)
    except InvalidRequest as error:
        raise click.UsageError(str(error)) from error
    telemetry = Telemetry(access_log, log_texts, trace_endpoint, trace_ratio)
    known = frozenset(name.lower() for name in names)
    reach = Reach(host, port, tls, tokens, insecure, names=known, page=page, videos=videos)
    placement = Placement(storage, coarse, device == "cuda")
    if gallery is not None and len(bundles) == 1:
        serve(
            Path(bundles[0]),
            gallery,
            reach,
            limits,
            telemetry,
            shortlist=shortlist,
            placement=placement,
            cluster=on,
            verbose=verbose,
        )
        return
    if len(bundles) == 1 and "=" not in bundles[0]:
        raise click.UsageError("a bundle needs its gallery: give --gallery, a folder, which is made if absent")
    if gallery is not None or shortlist is not None or placement.cuda or on is not None:
        raise click.UsageError(
            "--gallery, --shortlist-from, --cluster and --device cuda are for one BUNDLE: write several as "
            "NAME=BUNDLE:GALLERY"
        )
    try:
        named = [Named.read(text) for text in bundles]
    except InvalidRequest as error:
        raise click.UsageError(f"{error}; one bundle alone takes --gallery") from error
    serve_several(named, reach, limits, telemetry, placement=placement, verbose=verbose)


@click.command("token")
@click.argument("name")
@click.option("--tokens", required=True, type=_FILE_OUT, help="The file that `framesift serve --tokens` reads.")
@click.option(
    "--role", "roles", required=True, multiple=True, type=click.Choice(ROLES), help="What it may do; may be repeated."
)
def token_command(name: str, tokens: Path, roles: tuple[str, ...]) -> None:
    """Make a token for the caller NAME, print it, and append its hash to a file.

    The token itself is kept nowhere. A running server reads the file within a second; to withdraw a token, remove its
    line. With the role search one searches and scores, with index one indexes and encodes; admin may do everything.

    \b
    Example:
      framesift token dashboard --role search --tokens tokens
    """
    from .front.tokens import new_token

    click.echo(new_token(tokens, name, roles))
    click.echo(f"{name} is in {tokens}; a client reads the token from FRAMESIFT_TOKEN", err=True)


@click.command("demo")
@click.option("--work", default=Path("work/demo"), show_default=True, type=_FOLDER, help="Videos, bundle and gallery.")
@click.option("--clips", default=240, show_default=True, type=click.IntRange(10, 500), help="How many videos.")
@click.option("--page", is_flag=True, help="End with the page in a browser, on the demo's videos, until Ctrl-C.")
def demo_command(work: Path, clips: int, page: bool) -> None:
    """Run the whole job on this machine, with a small trained model and generated videos.

    Exports the demo checkpoint, starts a Triton server, indexes real H.264 files through one ensemble, answers text
    queries through another, and compares every ranking with eager PyTorch.

    \b
    Examples:
      framesift demo
      framesift demo --page
    """
    from .demo import run_demo

    run_demo(work, clips, page=page)
