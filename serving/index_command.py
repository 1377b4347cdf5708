"""The command that fills a gallery: ``framesift index``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import IO, Any, get_args

import click

from ..export.bundle.dependent import Dependent
from ..export.bundle.errors import FramesiftError, InvalidRequest
from ..export.bundle.segments import SHOTS, Cutting
from .client.discover import IdFrom, Named, is_manifest
from .client.metadata_lines import decoded, read_metadata
from .client.options import model_option, server_option
from .client.printable import printable

_FOLDER = click.Path(file_okay=False, path_type=Path)
_JOBS, _MOST_JOBS = 4, 64
# Of a run without a server.
_HERE: Any = {"cls": Dependent, "needs": ("--bundle",)}
_CUT: Any = {"cls": Dependent, "needs": ("--segment-seconds",)}


@click.command("index")
@click.argument("paths", nargs=-1, required=True)
@server_option("The server's gRPC address.", bars=("--bundle",))
@model_option(bars=("--bundle",))
@click.option(
    "--bundle",
    cls=Dependent,
    needs=("--gallery",),
    type=_FOLDER,
    help="Encode here, without a server, with this bundle.",
)
@click.option("--gallery", **_HERE, type=_FOLDER, help="With --bundle: the gallery to fill; made if absent.")
@click.option("--shard", **_HERE, metavar="I/N", help="With --bundle: index one of N parts, counted from 0.")
@click.option(
    "--sharded",
    cls=Dependent,
    needs=("--shard",),
    is_flag=True,
    help="With --shard: the gallery is in N shards, of which this run fills one.",
)
@click.option(
    "--ray",
    **_HERE,
    metavar="ADDRESS",
    help="With --bundle: encode on this Ray cluster; `local` starts one here.",
)
@click.option(
    "--gpus",
    cls=Dependent,
    needs=("--ray",),
    type=click.FloatRange(0),
    help="With --ray: the share of a GPU that each worker takes; none by default.",
)
@click.option(
    "--video-limit",
    "video_limits",
    **_HERE,
    multiple=True,
    metavar="NAME=VALUE",
    help="With --bundle: change a limit of videos, as of `framesift serve`; may be repeated.",
)
@click.option(
    "--failures",
    **_HERE,
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
    **_CUT,
    type=click.FloatRange(0),
    default=0.0,
    show_default=True,
    help="With --segment-seconds: seconds that a segment shares with the one before it.",
)
@click.option(
    "--shots",
    **_CUT,
    is_flag=True,
    help="With --segment-seconds: begin a segment wherever a shot begins; longer shots are cut as without.",
)
@click.option("--images", is_flag=True, help="Take the images in folders and globs, too, as videos of one frame.")
@click.option(
    "--metadata",
    type=click.File("rb"),
    help='A file of JSON lines, {"id": ..., and what to keep with the video of that id}; - is standard input.',
)
@click.option(
    "--jobs",
    type=click.IntRange(1, 4096),
    help=f"Videos at once: {_JOBS} by default, {_MOST_JOBS} at most; with --bundle as many as there are processors.",
)
@click.option("--timeout", type=click.FloatRange(1), default=600, show_default=True, help="Seconds for one video.")
@click.option("--force", is_flag=True, help="Index again what the gallery has already.")
@click.option("--no-cache", is_flag=True, help="Read every file, and remember no digest of it.")
@click.option("--fail-fast", is_flag=True, help="Stop at the first video that can't be indexed.")
def index_command(
    paths: tuple[str, ...],
    server: str,
    model: str | None,
    bundle: Path | None,
    gallery: Path | None,
    shard: str | None,
    sharded: bool,
    ray: str | None,
    gpus: float | None,
    video_limits: tuple[str, ...],
    failures: Path | None,
    id_from: IdFrom,
    segment_seconds: float | None,
    overlap: float,
    shots: bool,
    images: bool,
    metadata: IO[bytes] | None,
    jobs: int | None,
    timeout: float,
    force: bool,
    no_cache: bool,
    fail_fast: bool,
) -> None:
    """Index videos: files, folders (with all folders below, but hidden ones), and quoted globs.

    Of a folder those files are read that the model takes: films, or npz and safetensors files of features, whose ids
    are their paths without suffix. Still images, PNG, JPEG or WebP, are indexed where they are named themselves, as in
    "stills/*.jpg", and with --images: in a folder of films they are mostly their covers.

    Videos that the gallery has already, unchanged, are skipped: run the same command again to go on after a stop. Files
    are known again by size, inode and times, which lie in ~/.cache/framesift. It ends when searches see what it
    indexed, with status 1 when a video could not be.

    With --bundle and --gallery it needs no server, and one that uses the gallery may go on. Films may then be listed in
    a manifest, a file that ends in .jsonl, with paths or addresses of object storage: {"path": ..., "id": ...}.

    A gallery in shards, for `framesift serve --cluster`, is filled by a run for each of its N shards, with --shard 0/N
    to N-1/N; with --sharded one that is not there is made.

    With --segment-seconds a film has a record for each of its segments. A search finds it by the best one, and tells
    where that begins and ends. Other segments than before are other records, and so is a film without any: it is
    indexed again, and the last lines say how many that were kept in segments are whole videos now.

    \b
    Examples:
      framesift index clips/ "archive/**/*.mkv" --jobs 8
      framesift index features/
      framesift index clips/ --bundle bundles/mine --gallery galleries/mine
      framesift index films/ --segment-seconds 30 --overlap 5
      framesift index films.jsonl --bundle bundles/mine --gallery galleries/mine --ray auto
    """
    if bundle is None and jobs is not None and jobs > _MOST_JOBS:
        raise click.UsageError(f"--jobs is {jobs}, a server takes at most {_MOST_JOBS}")
    if bundle is None and (manifests := [path for path in paths if is_manifest(path)]):
        raise click.UsageError(f"{printable(manifests[0])} is a manifest, which needs --bundle and --gallery")
    try:
        cutting = None if segment_seconds is None else Cutting(segment_seconds, overlap, SHOTS if shots else 0.0)
        facts = read_metadata(decoded(metadata)) if metadata else {}
        named = Named.of(paths, id_from, images=images) if bundle is None else None
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
                sharded,
                failures,
                force,
                cutting,
                images,
            )
            index_here(run, facts, digests, report)
    finally:
        digests.close()
    if report.failed:
        sys.exit(1)


if __name__ == "__main__":
    try:
        index_command(prog_name="index.sh")
    except (FramesiftError, OSError) as fault:
        sys.exit(f"Error: {fault}")
