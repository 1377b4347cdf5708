"""A bundle and a gallery to a running server."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from ..export.bundle.manifest import Manifest
from ..export.bundle.ports import SCORER
from ..export.bundle.scorers import scorer_of
from ..export.bundle.scratch import scratch_folder
from ..export.bundle.shortlist import check_chooser
from ..export.bundle.store import Bundle
from ..export.bundle.video.limits import DEFAULT_LIMITS, VideoLimits
from ..kernels.library import NOT_COMPILED, compiled
from .front.arena import ENLARGE
from .front.telemetry import NOTHING, Telemetry
from .gallery.calibration import Calibration
from .gallery.comparing import compared
from .gallery.drift import drift_of, told_of
from .gallery.store import Gallery
from .repository.deploy import deploy
from .repository.placement import USUAL, Placement
from .search.certified_ranking import derived_of
from .server.deployment import attend, server_of, stop_event
from .server.door import Reach
from .server.embedded import EmbeddedServer
from .server.gpu import check_gpu, check_libraries, compile_kernels, weights_of
from .server.loading import Report, quiet
from .server.printed import STDOUT, printed
from .server.temporary import temporary_root
from .shards.cluster import Cluster, check_fits


@dataclass(frozen=True)
class Chooser:
    """The bundle that chooses candidates for another, and its gallery, of videos with the same ids."""

    bundle: Bundle
    gallery: Path


@contextlib.contextmanager
def running(
    bundle: Bundle,
    gallery: Path,
    reach: Reach | None = None,
    *,
    chooser: Chooser | None = None,
    limits: VideoLimits = DEFAULT_LIMITS,
    telemetry: Telemetry = NOTHING,
    placement: Placement = USUAL,
    cluster: Cluster | None = None,
    hang_after_s: float | None = None,
    report: Report = quiet,
) -> Iterator[EmbeddedServer]:
    """Serve ``bundle`` on an embedded Triton server while the block runs, on a free port of this machine by default.

    Args:
        chooser: what chooses candidates, for a model that reads every text and video together.
        limits: the largest video that is decoded.
        placement: how the gallery is kept in memory, and where models run.
        cluster: where the shards of the gallery are searched, for a gallery in shards.
        hang_after_s: as for ``EmbeddedServer``; by default two minutes, or twice what one video may take.
        report: called with a line for the gallery, and with others while the models load.

    Raises:
        BundleError: ``chooser`` can't choose for the bundle, or its gallery can't have the storage or a coarse stage.
        GalleryError: a coarse stage without a calibration.
        GalleryMismatch: a gallery was written by another model.
        ServerStartError: the server did not start, or a GPU can't hold what is to be on it; the message says why.
    """
    if cluster is not None:
        check_fits(bundle.manifest, chosen=chooser is not None)
    with (
        placed(
            bundle,
            gallery,
            chooser=chooser,
            placement=placement,
            sharded=cluster is not None,
            report=report,
        ) as folder,
        contextlib.ExitStack() as stack,
    ):
        kept = placement.told(bundle.manifest)
        found = None
        if cluster is not None:
            scorer = bundle.graph(SCORER).read_bytes()
            found = cluster.shards(kept, scorer, gallery, folder, report, cuda=placement.cuda)
        server = server_of(
            folder / "deployment",
            folder / "run",
            folder / "gallery",
            reach,
            shortlist_gallery=None if chooser is None else folder / "shortlist",
            telemetry=telemetry,
            limits=limits,
            hang_after_s=hang_after_s,
            env=None if found is None else stack.enter_context(found),
            report=report,
        )
        with server:
            yield server


@contextlib.contextmanager
def placed(
    bundle: Bundle,
    gallery: Path,
    *,
    chooser: Chooser | None = None,
    placement: Placement = USUAL,
    sharded: bool = False,
    report: Report = quiet,
) -> Iterator[Path]:
    """A temporary folder with what is to be served: ``deployment``, ``gallery`` and ``shortlist``.

    Its ``run`` is left to the server. The arguments are those of ``running``; a gallery that is ``sharded`` is opened
    by whoever has its shards searched.

    Raises:
        BundleError, GalleryError, GalleryMismatch, ServerStartError: as ``running``.
    """
    kept = placement.told(bundle.manifest)
    if placement.cuda:
        check_libraries()
    if chooser is not None:
        check_chooser(bundle.manifest, chooser.bundle.manifest)
    # Opened here, a foreign gallery is refused before a server is started.
    for manifest, place in () if sharded else _galleries(bundle, gallery, chooser):
        with Gallery.open(place, manifest) as found:
            report(f"gallery {place}: {found.count:,} videos")
            if placement.cuda and manifest is bundle.manifest:
                report(check_gpu(kept, found.reader().rows, weights_of(bundle)))
                compile_kernels(kept, report)
    if sharded and placement.cuda:
        # Shards may be on the GPUs of this machine, too: their actors look for room themselves.
        report(check_gpu(kept, None, weights_of(bundle)))
    derived_of(kept)
    if placement.coarse and not sharded:
        with Gallery.open(gallery, bundle.manifest) as found:
            calibration = Calibration.of(gallery, bundle.manifest.fingerprint, found.version)
            for line in told_of(calibration, drift_of(found, calibration)):
                report(f"coarse stage: {line}")
    with scratch_folder(Path(temporary_root()), "framesift_") as folder:
        # The models know the gallery by a path that they can write down, whatever its own is.
        (folder / "gallery").symlink_to(gallery.absolute(), target_is_directory=True)
        if chooser is not None:
            (folder / "shortlist").symlink_to(chooser.gallery.absolute(), target_is_directory=True)
        other = None if chooser is None else chooser.bundle
        deploy(
            bundle,
            folder / "deployment",
            "embedded",
            chooser=other,
            placement=placement,
            link=True,
            sharded=sharded,
        )
        yield folder


def serve(
    bundle: Path,
    gallery: Path,
    reach: Reach,
    limits: VideoLimits,
    telemetry: Telemetry,
    *,
    shortlist: tuple[Path, Path] | None = None,
    placement: Placement = USUAL,
    cluster: Cluster | None = None,
    verbose: bool,
) -> None:
    """Serve until SIGINT or SIGTERM, telling the user where.

    An access log at ``STDOUT`` goes to the standard output, and what is told to the user to the standard error.

    Args:
        shortlist: the folders of the bundle that chooses candidates and of its gallery.

    Raises:
        BundleError, GalleryMismatch, ServerStartError: before anything listens.
        ServerError: the server ended by itself.
    """

    def report(line: str) -> None:
        click.echo(line, err=True)

    report(f"verifying the files of {bundle}")
    opened = Bundle.open(bundle)
    stopping = stop_event()
    report(f"loading {opened.manifest.system} (model {opened.manifest.fingerprint[:12]})")
    chooser = None if shortlist is None else Chooser(Bundle.open(shortlist[0]), shortlist[1])
    aside = telemetry.access_log == STDOUT
    with (
        printed(telemetry) as told,
        running(
            opened,
            gallery,
            reach,
            chooser=chooser,
            limits=limits,
            telemetry=told,
            placement=placement,
            cluster=cluster,
            report=report,
        ) as server,
    ):
        if chooser is not None:
            for line in compared(gallery, chooser.gallery):
                report(line)
        if server.room < limits.max_bytes:
            click.echo(f"no video of more than {server.room >> 20} MiB can be indexed: {ENLARGE}", err=True)
        if scorer_of(opened.manifest).search != "shortlist" and compiled() is None:
            click.echo(NOT_COMPILED, err=True)
        attend(server, reach, gallery, stopping, verbose=verbose, aside=aside)


def _galleries(bundle: Bundle, gallery: Path, chooser: Chooser | None) -> list[tuple[Manifest, Path]]:
    own = [(bundle.manifest, gallery)]
    return own if chooser is None else [*own, (chooser.bundle.manifest, chooser.gallery)]
