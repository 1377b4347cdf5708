"""``framesift index`` without a server: on this machine, or on a Ray cluster."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from ...export.bundle.errors import InvalidRequest
from ...export.bundle.manifest import Manifest
from ...export.bundle.segments import Cutting
from ...export.bundle.video.limits import VideoLimits
from ..client.digests import Digests
from ..client.discover import IdFrom, Named, is_manifest
from ..client.index_report import Report
from ..client.index_served import counted, facts_of
from ..client.indexing import Outcome
from ..client.printable import printable
from ..gallery.schema import GallerySchema
from ..gallery.shard import Shard
from ..gallery.shards import is_split, open_shards
from ..gallery.store import Gallery
from . import sources
from .failures_file import FailuresFile
from .files import open_files, reads_films
from .manifest import read_manifest_lines
from .memory import free_bytes, how_many, in_gib, worker_bytes
from .processes import Process, Processes
from .ray_workers import RayWorkers
from .run import Workers, index_videos
from .video import Made
from .worker import Setting


@dataclass(frozen=True)
class Run:
    """What a command line asks for.

    Attributes:
        names: files, folders and globs; or one manifest.
        shard: the part of all videos that is this run's.
        ray: the address of a Ray cluster; empty for this machine.
        jobs: videos at once; None for as many as there are processors, and as memory holds.
        gpus: the share of a GPU that each of Ray's workers takes.
        sharded: the gallery is in as many shards as there are parts, and is made so.
        failures: the file that lists what fails.
        force: index again what the gallery has already.
        cutting: how films are cut into segments, if they are.
        images: take images in folders, too.
    """

    names: tuple[str, ...]
    id_from: IdFrom
    bundle: Path
    gallery: Path
    limits: VideoLimits
    shard: Shard
    ray: str = ""
    jobs: int | None = None
    gpus: float = 0.0
    timeout_s: float = 600.0
    sharded: bool = False
    failures: Path | None = None
    force: bool = False
    cutting: Cutting | None = None
    images: bool = False


def index_here(run: Run, facts: Mapping[str, Mapping[str, Any]], digests: Digests, report: Report) -> None:
    """Index what a run names into its gallery, which is made where there is none.

    Raises:
        UsageError: the names stand for nothing that the model reads.
        FramesiftError: the bundle, the gallery or the cluster can't be used.
    """
    manifest = open_files(run.bundle)
    source = _source(run, manifest, facts, digests)
    with ExitStack() as stack:
        stack.callback(report.end, len(source), source.images)
        gallery = stack.enter_context(_gallery(run, manifest))
        model = f"{manifest.system} model {manifest.fingerprint[:12]}"
        click.echo(printable(f"{model}, with {counted(gallery.count)} in the gallery {gallery.root}"), err=True)
        failures = stack.enter_context(FailuresFile(run.failures))

        def told(made: Made) -> None:
            source.made(made)
            if made.reason:
                failures.put(made)
            report.told(Outcome(made.video.source, made.status, made.reason, uncut=made.uncut))

        with report.showing(len(source)):
            left = source.left(gallery, told, force=run.force)
            # Where nothing is left to do, no worker is started.
            for first in left:
                with closing(start_workers(run, manifest, report, cuts=run.cutting is not None)) as workers:
                    index_videos(gallery, itertools.chain([first], left), workers, told)


def _gallery(run: Run, manifest: Manifest) -> Gallery:
    """The gallery to fill, of one in shards the one for the run's part.

    Raises:
        InvalidRequest: the run is for another part than a shard's.
        GalleryMismatch, GalleryError: it can't be filled.
    """
    if not run.sharded and not is_split(run.gallery):
        return Gallery.open(run.gallery, manifest)
    shards = open_shards(run.gallery, GallerySchema.of(manifest), run.shard.count if run.sharded else None)
    if run.shard.count != len(shards):
        count = len(shards)
        raise InvalidRequest(
            f"the gallery {run.gallery} is in {count} shards, each of which a run of its own fills: index with --shard "
            f"0/{count} to {count - 1}/{count}"
        )
    return shards[run.shard.number]


def _source(run: Run, manifest: Manifest, facts: Mapping[str, Mapping[str, Any]], digests: Digests) -> sources.Source:
    if any(map(is_manifest, run.names)):
        if len(run.names) > 1 or facts:
            raise click.UsageError("a manifest is named alone, and has its metadata in itself")
        listed = read_manifest_lines(Path(run.names[0]), run.id_from)
        return sources.Manifest(listed, run.shard, run.cutting)
    named = Named.of(run.names, run.id_from, images=run.images)
    try:
        found = named.read_by(films=reads_films(manifest), features=manifest.features is not None)
    except InvalidRequest as error:
        raise click.UsageError(f"{error}. The model of {run.bundle} reads none of them") from error
    return sources.Files(found, run.shard, facts_of(facts, found), digests, run.cutting)


def start_workers(run: Run, manifest: Manifest, report: Report, *, cuts: bool) -> Workers:
    """Start workers for a run, as many as fit, and say what they take; ``cuts`` says whether films are cut.

    Raises:
        FramesiftError: there is no room for one, or they can't be started.
    """
    setting = Setting(str(run.bundle.resolve()), run.limits.settings(), run.timeout_s)
    first = Process(setting)
    try:
        each = worker_bytes(first.peak(), run.limits, cuts=cuts)
        if run.ray:
            first.end()
            setting = Setting(setting.folder, setting.limits, run.timeout_s, gpu=run.gpus > 0)
            actors = RayWorkers(run.ray, setting, manifest, count=run.jobs, memory=each, gpus=run.gpus)
            report.say(f"{actors.count} actors of Ray, each with at most {in_gib(each)} of memory")
            return actors
        count = how_many(each, run.jobs, free_bytes())
        report.say(f"{count} processes, each with at most {in_gib(each)} of memory")
        return Processes(first, count, lambda video, film: report.reached(video.source, film.done, film.total))
    except BaseException:
        first.end()
        raise
