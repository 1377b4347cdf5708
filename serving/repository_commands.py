"""``framesift repository``."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import click

from ..export.bundle.dependent import Dependent
from ..export.bundle.storage_names import Storage
from .repository.targets import Target
from .storage_option import coarse_option, storage_option

_FOLDER = click.Path(file_okay=False, path_type=Path)


@click.group("repository")
def repository_group() -> None:
    """Render and deploy model repositories for Triton server.

    \b
    Example:
      framesift repository deploy bundles/demo deployments/demo
    """


@repository_group.command("deploy")
@click.argument("bundle", type=_FOLDER)
@click.argument("out", type=_FOLDER)
@click.option(
    "--target",
    type=click.Choice(get_args(Target)),
    default="container",
    show_default=True,
    help="The embedded server, NVIDIA's container, or that with TensorRT's engines.",
)
@click.option("--shortlist-from", type=_FOLDER, help="A bundle whose gallery chooses candidates for BUNDLE.")
@click.option(
    "--engines",
    cls=Dependent,
    needs=("--target tensorrt",),
    type=_FOLDER,
    help="Engines of BUNDLE, made by `framesift build`, for --target tensorrt.",
)
@storage_option("How videos are kept in memory, as of `framesift serve`.")
@coarse_option()
def deploy_command(
    bundle: Path,
    out: Path,
    target: Target,
    shortlist_from: Path | None,
    engines: Path | None,
    storage: Storage,
    coarse: bool,
) -> None:
    """Write a self-contained deployment of BUNDLE into the new folder OUT.

    All targets hold the same model repository. With --target container the front door, its supervision, requirements
    pinned by hash, a Dockerfile, a run.sh, compose files, a Helm chart and a README come with it, for NVIDIA's Triton
    Inference Server container; with --target tensorrt also the engines, which are compared with the GPU and the
    container's TensorRT before its server starts. With --target embedded there is only the
    repository, and what a front door reads of the bundle.

    \b
    Examples:
      framesift repository deploy bundles/demo deployments/demo
      framesift repository deploy bundles/demo deployments/trt --target tensorrt \\
          --engines bundles/demo/engines/tensorrt-fp16
    """
    from ..export.bundle.engines.folder import Engines
    from ..export.bundle.store import Bundle
    from .repository.deploy import deploy
    from .repository.placement import Placement

    opened = Bundle.open(bundle)
    built = None if engines is None else Engines.open(engines, opened)
    chooser = None if shortlist_from is None else Bundle.open(shortlist_from)
    repository = deploy(opened, out, target, chooser=chooser, engines=built, placement=Placement(storage, coarse))
    click.echo(repository)
    if target != "embedded":
        click.echo(f"next, on a machine with Docker: {out / 'run.sh'} GALLERY SECRETS", err=True)
        click.echo(f"or, letting in everybody: FRAMESIFT_INSECURE=1 {out / 'run.sh'} GALLERY", err=True)
        click.echo(f"{out / 'README.md'} says what else there is", err=True)


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
