"""``framesift serve``, ``framesift repository`` and ``framesift demo``."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import click

from .repository.targets import Target

_FOLDER = click.Path(file_okay=False, path_type=Path)
_PORT = click.IntRange(1, 65535)


@click.command("serve")
@click.argument("bundle", type=_FOLDER)
@click.option("--gallery", required=True, type=_FOLDER, help="Where video records are kept; made if absent.")
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen on. Requests are not authenticated.",
)
@click.option("--port", default=8001, show_default=True, type=_PORT, help="gRPC: queries and indexing.")
@click.option("--http-port", default=8000, show_default=True, type=_PORT, help="Health; inference needs the admin key.")
@click.option("--metrics-port", default=8002, show_default=True, type=_PORT, help="Prometheus metrics.")
@click.option("--verbose", is_flag=True, help="Show the server's log.")
def serve_command(
    bundle: Path, gallery: Path, host: str, port: int, http_port: int, metrics_port: int, verbose: bool
) -> None:
    """Serve BUNDLE on an embedded Triton server, until Ctrl-C.

    The bundle's files are verified and the gallery must be of the same model. A model that crashes or hangs is
    started again. Everything listens on this machine alone unless --host says otherwise.

    \b
    Example:
      framesift serve bundles/demo --gallery galleries/demo
    """
    from .serve import serve

    serve(bundle, gallery, host=host, port=port, http_port=http_port, metrics_port=metrics_port, verbose=verbose)


@click.group("repository")
def repository_group() -> None:
    """Render and deploy model repositories for Triton server."""


@repository_group.command("deploy")
@click.argument("bundle", type=_FOLDER)
@click.argument("out", type=_FOLDER)
@click.option("--target", type=click.Choice(get_args(Target)), default="container", show_default=True)
@click.option("--engines", type=_FOLDER, help="Engines of BUNDLE, made by `framesift build`, for --target tensorrt.")
def deploy_command(bundle: Path, out: Path, target: Target, engines: Path | None) -> None:
    """Write a self-contained deployment of BUNDLE into the new folder OUT.

    All targets hold the same model repository. With --target container a Dockerfile, a run.sh and framesift's own
    modules come with it, for NVIDIA's Triton Inference Server container; with --target tensorrt also the engines, which
    are compared with the GPU and the container's TensorRT before its server starts.

    \b
    Examples:
      framesift repository deploy bundles/demo deployments/demo
      framesift repository deploy bundles/demo deployments/trt --target tensorrt \\
          --engines bundles/demo/engines/tensorrt-fp16
    """
    from ..export.bundle.engines.folder import Engines
    from ..export.bundle.store import Bundle
    from .repository.deploy import deploy

    opened = Bundle.open(bundle)
    repository = deploy(opened, out, target, engines=None if engines is None else Engines.open(engines, opened))
    click.echo(repository)
    if target != "embedded":
        click.echo(f"next, on a machine with Docker: {out / 'run.sh'}", err=True)


@repository_group.command("render")
@click.argument("folder", type=_FOLDER, default=Path("model_repository"))
@click.option("--bundle", type=_FOLDER, help="Take the sizes from this bundle instead of the reference model's.")
@click.option("--check", is_flag=True, help="Write nothing; list what differs and exit with 1 if anything does.")
def render_command(folder: Path, bundle: Path | None, check: bool) -> None:
    """Write the configuration of every served model into FOLDER.

    \b
    Example:
      framesift repository render --check
    """
    from ..export.bundle.store import Bundle
    from .repository.render import differences, reference_manifest, write

    manifest = reference_manifest() if bundle is None else Bundle.open(bundle).manifest
    if not check:
        for path in write(folder, manifest):
            click.echo(path)
    elif found := differences(folder, manifest):
        raise click.ClickException(f"{folder} is not as the plan says: " + "; ".join(found))


@click.command("demo")
@click.option("--work", default=Path("work/demo"), show_default=True, type=_FOLDER, help="Videos, bundle and gallery.")
@click.option("--clips", default=240, show_default=True, type=click.IntRange(10, 500), help="How many videos.")
def demo_command(work: Path, clips: int) -> None:
    """Run the whole job on this machine, with a small trained model and generated videos.

    Exports the demo checkpoint, starts a Triton server, indexes real H.264 files through one ensemble, answers text
    queries through another, and compares every ranking with eager PyTorch.

    \b
    Example:
      framesift demo
    """
    from .demo import run_demo

    run_demo(work, clips)
