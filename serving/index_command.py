"""The command that fills a gallery: ``framesift index``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import IO, get_args

import click

from ..export.bundle.errors import FramesiftError, InvalidRequest
from ..export.bundle.segments import SHOTS, Cutting
from .client.discover import IdFrom, Named
from .client.metadata_lines import decoded, read_metadata
from .client.options import model_option, server_option

_FOLDER = click.Path(file_okay=False, path_type=Path)
# Those of a server and those of a run without one.
_SERVED, _HERE = ("server", "model"), ("shard", "ray", "gpus", "video_limits", "failures")
_JOBS = 4


@click.command("index")
@click.argument("paths", nargs=-1, required=True)
@server_option("The server's gRPC address.")
@model_option()
@click.option("--bundle", type=_FOLDER, help="Encode here, without a server, with this bundle.")
@click.option("--gallery", type=_FOLDER, help="With --bundle: the gallery to fill; made if absent.")
@click.option("--shard", metavar="I/N", help="With --bundle: index one of N parts, counted from 0.")
@click.option("--ray", metavar="ADDRESS", help="With --bundle: encode on this Ray cluster; `local` starts one here.")
@click.option("--gpus", type=click.FloatRange(0), help="With --ray: the share of a GPU that each worker takes.")
@click.option(
    "--video-limit", "video_limits", multiple=True, metavar="NAME=VALUE", help="With --bundle: as of `framesift serve`."
)
@click.option(
    "--failures",
    type=click.Path(dir_okay=False, path_type=Path),
    help="With --bundle: write what fails, and why, to this file, a manifest itself.",
)
@click.option(
    "--id-from",
    type=click.Choice(get_args(IdFrom)),
    default="path",
    show_default=True,
    help="What a video is called: its path below the folder given, its file name, or that without suffix.",
)
@click.option(
    "--segment-seconds",
    type=click.FloatRange(0, min_open=True),
    help="Cut films into segments of so many seconds, each found by itself.",
)
@click.option(
    "--overlap",
    type=click.FloatRange(0),
    default=0.0,
    help="With --segment-seconds: seconds that a segment shares with the one before it.",
)
@click.option(
    "--shots",
    is_flag=True,
    help="With --segment-seconds: begin a segment wherever a shot begins; longer shots are cut as without.",
)
@click.option(
    "--metadata",
    type=click.File("rb"),
    help='JSON lines, {"id": ..., and what to keep with the video of that id}.',
)
@click.option(
    "--jobs",
    type=click.IntRange(1, 4096),
    help=f"Videos at once: {_JOBS} by default, 64 at most; with --bundle as many as there are processors.",
)
@click.option("--timeout", type=click.FloatRange(1), default=600, show_default=True, help="Seconds for one video.")
@click.option("--force", is_flag=True, help="Index again what the gallery has already.")
@click.option("--no-cache", is_flag=True, help="Read every file, and remember no digest of it.")
@click.option("--fail-fast", is_flag=True, help="Stop at the first video that can't be indexed.")
@click.pass_context
def index_command(
    context: click.Context,
    paths: tuple[str, ...],
    server: str,
    model: str | None,
    bundle: Path | None,
    gallery: Path | None,
    shard: str | None,
    ray: str | None,
    gpus: float | None,
    video_limits: tuple[str, ...],
    failures: Path | None,
    id_from: IdFrom,
    segment_seconds: float | None,
    overlap: float,
    shots: bool,
    metadata: IO[bytes] | None,
    jobs: int | None,
    timeout: float,
    force: bool,
    no_cache: bool,
    fail_fast: bool,
) -> None:
    """Index videos: files, folders (with all folders below, but hidden ones), and quoted globs.

    Of a folder those files are read that the model takes: films, or npz and safetensors files of features, whose ids
    are their paths without suffix. A still image, PNG, JPEG or WebP, is indexed where it is named itself.

    Videos that the gallery has already, unchanged, are skipped: run the same command again to go on after a stop. Files
    are known again by size, inode and times, which lie in ~/.cache/framesift. It ends when searches see what it
    indexed, with status 1 when a video could not be.

    With --bundle and --gallery it needs no server, and one that uses the gallery may go on. Films may then be listed in
    a manifest, a file that ends in .jsonl, with paths or addresses of object storage: {"path": ..., "id": ...}.

    With --segment-seconds a film has a record for each of its segments. A search finds it by the best one, and tells
    where that begins and ends. Other segments than before are other records: the film is indexed again.

    \b
    Examples:
      framesift index clips/ "archive/**/*.mkv" --jobs 8
      framesift index features/
      framesift index clips/ --bundle bundles/mine --gallery galleries/mine
      framesift index films/ --segment-seconds 30 --overlap 5
      framesift index films.jsonl --bundle bundles/mine --gallery galleries/mine --ray auto
    """
    _check_options(context)
    try:
        cutting = None if segment_seconds is None else Cutting(segment_seconds, overlap, SHOTS if shots else 0.0)
        facts = read_metadata(decoded(metadata)) if metadata else {}
        named = Named.of(paths, id_from) if bundle is None else None
    except InvalidRequest as error:
        raise click.UsageError(str(error)) from error
    from .client.digests import Digests
    from .client.index_report import Report

    report = Report(fail_fast=fail_fast, failures=failures)
    digests = Digests(None if no_cache else Digests.folder())
    try:
        if named is not None:
            from .client.index_served import index_served

            index_served(
                server,
                model,
                named,
                facts,
                digests,
                report,
                jobs=jobs or _JOBS,
                timeout_s=timeout,
                force=force,
                cutting=cutting,
            )
        elif bundle is not None and gallery is not None:
            from ..export.bundle.video.limits import VideoLimits
            from .gallery.shard import Shard
            from .indexing.here import Run, index_here

            try:
                limits = VideoLimits.from_environment().with_settings(video_limits)
                part = Shard(0, 1) if shard is None else Shard.read(shard)
            except InvalidRequest as error:
                raise click.UsageError(str(error)) from error
            run = Run(
                paths,
                id_from,
                bundle,
                gallery,
                limits,
                part,
                ray or "",
                jobs,
                gpus or 0.0,
                timeout,
                failures,
                force,
                cutting,
            )
            index_here(run, facts, digests, report)
    finally:
        digests.close()
    if report.failed:
        sys.exit(1)


def _check_options(context: click.Context) -> None:
    """Refuse options of a run with a server beside those of one without."""
    given = {
        name for name in context.params if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
    }
    options = {parameter.name: parameter.opts[0] for parameter in context.command.params}
    if ("bundle" in given) != ("gallery" in given):
        raise click.UsageError("--bundle and --gallery go together: they index without a server")
    wrong = sorted(given & set(_SERVED if "bundle" in given else _HERE))
    if wrong:
        needs = "needs a server, so leave --bundle and --gallery out" if "bundle" in given else "needs --bundle"
        raise click.UsageError(f"{options[wrong[0]]} {needs}")
    if "gpus" in given and "ray" not in given:
        raise click.UsageError("--gpus needs --ray")
    for name in ("overlap", "shots"):
        if name in given and "segment_seconds" not in given:
            raise click.UsageError(f"--{name} needs --segment-seconds")
    jobs = context.params["jobs"]
    if "bundle" not in given and jobs is not None and jobs > 64:
        raise click.UsageError(f"--jobs is {jobs}, a server takes at most 64")


if __name__ == "__main__":
    try:
        index_command(prog_name="index.sh")
    except (FramesiftError, OSError) as fault:
        sys.exit(f"Error: {fault}")
