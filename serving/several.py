"""Several bundles, each with its gallery and an alias, on one address.

Each has a Triton server of its own behind the one door. In one server all would share its end, its restarts and its
memory's fragments, every model, ensemble and variable would need a name of its own, and a bundle could not be told from
another by what it costs. So nothing of a deployment changes, and what is added is a choice at the door.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import click

from ..export.bundle.checks import check_alias
from ..export.bundle.errors import InvalidRequest, ServerStartError
from ..export.bundle.store import Bundle
from ..export.bundle.video.limits import VideoLimits
from .front.behind import Behind
from .front.telemetry import NOTHING, Telemetry
from .gallery.store import Gallery
from .indexing.memory import free_bytes, in_gib
from .needed import needed
from .repository.deploy import DOOR
from .repository.placement import USUAL, Placement
from .serve import placed
from .server.deployment import attend, server_of, stop_event
from .server.door import Reach
from .server.embedded import EmbeddedServer
from .server.loading import Report, quiet
from .server.printed import STDOUT, printed
from .server.run_folder import RunFolder


@dataclass(frozen=True)
class Named:
    """A bundle, its gallery, and the alias that is its name."""

    name: str
    bundle: Path
    gallery: Path

    @staticmethod
    def read(text: str) -> Named:
        """What is written as NAME=BUNDLE:GALLERY.

        Raises:
            InvalidRequest: it is not.
        """
        name, equals, rest = text.partition("=")
        bundle, colon, gallery = rest.rpartition(":")
        if not (equals and colon and bundle and gallery):
            raise InvalidRequest(f"{text!r} is no NAME=BUNDLE:GALLERY, as in films=bundles/clip:galleries/films")
        return Named(check_alias(name), Path(bundle), Path(gallery))


def check_names(named: Sequence[Named]) -> None:
    """Whether these can be served together.

    Raises:
        InvalidRequest: a name or a gallery that comes twice.
    """
    for what, found in (
        ("name", [each.name for each in named]),
        ("gallery", [os.path.realpath(each.gallery) for each in named]),
    ):
        if twice := sorted({one for one in found if found.count(one) > 1}):
            raise InvalidRequest(f"the {what} {twice[0]} comes twice: each bundle has its own")


@contextlib.contextmanager
def running_several(
    named: Sequence[Named],
    reach: Reach | None = None,
    *,
    limits: VideoLimits,
    telemetry: Telemetry = NOTHING,
    placement: Placement = USUAL,
    hang_after_s: float | None = None,
    report: Report = quiet,
) -> Iterator[EmbeddedServer]:
    """Serve several bundles while the block runs; who chooses none is answered by the first.

    The arguments are those of ``serve.running``.

    Raises:
        InvalidRequest: a name or a gallery that comes twice.
        ServerStartError: they don't fit into memory, or one did not start.
        BundleError, GalleryMismatch: a bundle or a gallery can't be served.
    """
    check_names(named)
    bundles = [Bundle.open(each.bundle) for each in named]
    _check_memory(named, bundles, placement)
    first, *others = zip(named, bundles, strict=True)
    with contextlib.ExitStack() as stack:
        beside: list[Behind] = []
        # The first one has the door, and ends before those that are behind it.
        for each, bundle in (*others, first):
            report(f"{each.name}: {bundle.manifest.system} (model {bundle.manifest.fingerprint[:12]})")
            kept = placed(bundle, each.gallery, placement=placement, report=report)
            folder = stack.enter_context(kept)
            last = each is named[0]
            server = server_of(
                folder / "deployment",
                folder / "run",
                folder / "gallery",
                replace(reach or Reach(), alias=each.name, beside=beside) if last else None,
                telemetry=telemetry,
                limits=limits,
                hang_after_s=hang_after_s,
                report=report,
                door=last,
            )
            stack.enter_context(server)
            run = RunFolder((folder / "run").resolve())
            door = folder / "deployment" / DOOR
            beside.append(Behind(each.name, door, run.triton, run.triton_metrics, run.root, each.gallery.absolute()))
        yield server


def serve_several(
    named: Sequence[Named],
    reach: Reach,
    limits: VideoLimits,
    telemetry: Telemetry,
    *,
    placement: Placement = USUAL,
    verbose: bool,
) -> None:
    """Serve until SIGINT or SIGTERM, telling the user where; as ``serve.serve``.

    Raises:
        InvalidRequest, BundleError, GalleryMismatch, ServerStartError: before anything listens.
        ServerError: the server ended by itself.
    """

    def report(line: str) -> None:
        click.echo(line, err=True)

    stopping = stop_event()
    aside = telemetry.access_log == STDOUT
    with (
        printed(telemetry) as told,
        running_several(named, reach, limits=limits, telemetry=told, placement=placement, report=report) as server,
    ):
        names = ", ".join(each.name for each in named)
        click.echo(f"models  {names}; {named[0].name} answers those who choose none", err=aside)
        attend(server, reach, named[0].gallery, stopping, verbose=verbose, aside=aside)


def _check_memory(named: Sequence[Named], bundles: Sequence[Bundle], placement: Placement) -> None:
    sizes = {}
    for each, bundle in zip(named, bundles, strict=True):
        graphs = (bundle.graph(name) for name in bundle.manifest.graphs)
        sizes[each.name] = needed(graphs, _of_gallery(each, bundle), placement.storage)
    free, total = free_bytes(), sum(sizes.values())
    if total > free:
        told = ", ".join(f"{name} about {in_gib(size)}" for name, size in sizes.items())
        raise ServerStartError(
            f"{told} of memory are {in_gib(total)}, and {in_gib(free)} are free: serve fewer together, or keep "
            "galleries in less with --storage int8"
        )


def _of_gallery(each: Named, bundle: Bundle) -> int:
    with Gallery.open(each.gallery, bundle.manifest) as gallery:
        # A film that is cut has a record for each segment.
        return gallery.reader().rows * gallery.schema.row_bytes
