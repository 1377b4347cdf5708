"""``framesift gallery migrate``: from a gallery and a bundle to the bundle's gallery of the same videos."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from ...export.bundle.errors import GalleryError
from ..client.index_report import Report
from ..client.index_served import counted
from ..client.indexing import Outcome
from ..gallery.lock import exclusive
from ..gallery.schema import GallerySchema
from ..gallery.shards import is_split
from ..gallery.store import Gallery
from ..indexing.failures_file import FailuresFile
from ..indexing.files import open_files
from ..indexing.here import Run, start_workers
from ..indexing.run import Workers
from ..indexing.video import Made
from . import note
from .copying import Copying
from .handover import Handover
from .places import Places
from .states import Behind

# Whoever makes records again is alone in a gallery's folder with that.
_LOCK = ".migrating"


@dataclass(frozen=True)
class Migration:
    """What a command line asks for.

    Attributes:
        old: the gallery whose videos are made again.
        run: how they are encoded; its gallery is the new one.
        below, addresses: as of ``Places``.
    """

    old: Path
    run: Run
    below: Path | None = None
    addresses: bool = False


def migrate(asked: Migration, report: Report, handover: Handover | None = None) -> bool:
    """Bring the new gallery to where the old one is, and have a server's alias answered by it.

    Args:
        handover: of the alias; without it the new gallery is made and nothing else.

    Returns:
        Whether all was done: the alias was moved, or, where none was to be, no video was left out.

    Raises:
        GalleryError: a gallery can't be used, or the new one is none of the old one's.
        FramesiftError: the bundle or the server can't be used.
    """
    run = asked.run
    manifest = open_files(run.bundle)
    for folder, step in (
        (asked.old, f"make one of all, `framesift gallery split {asked.old} OUT --shards 1`, and name OUT/shard-0"),
        (run.gallery, "name a new folder, and split the gallery in it with `framesift gallery split`"),
    ):
        if is_split(folder):
            raise GalleryError(f"{folder} is in shards, and `migrate` makes one gallery of one: {step}")
    old = Gallery.existing(asked.old)
    if GallerySchema.of(manifest) == old.schema:
        raise GalleryError(f"{asked.old} was made by the model of {run.bundle}: copy its folder instead")
    with ExitStack() as stack:
        stack.callback(old.close)
        new = stack.enter_context(Gallery.open(run.gallery, manifest))
        stack.enter_context(exclusive(new.root / _LOCK, 0.0))
        note.begin(old, new)
        if handover is not None:
            handover.target(new.schema)
        failures = stack.enter_context(FailuresFile(run.failures))
        making = stack.enter_context(ExitStack())
        started: dict[bool, Workers] = {}

        def workers() -> Workers:
            # Where films that are cut come later, others are started, which have room for them.
            cuts = True in started or old.reader().cuts
            if cuts not in started:
                making.close()
                started[cuts] = start_workers(run, manifest, report, cuts=cuts)
                making.callback(started[cuts].close)
            return started[cuts]

        def told(made: Made) -> None:
            if made.reason:
                failures.put(made)
            report.told(Outcome(made.video.source, made.status, made.reason))

        copying = Copying(old, new, Places.of(manifest, asked.below, addresses=asked.addresses), workers, told)

        def pass_(left: Behind) -> None:
            report.say(_told(left, old, new))
            with report.showing(len(left.make)):
                copying.catch_up(left)

        while left := copying.behind():
            pass_(left)
        if handover is None and not copying.failed:
            note.end(old, new)
        done = not copying.failed if handover is None else handover.run(old, new, copying, pass_)
        lacks = f", without {counted(len(copying.failed))} that can't be made again" if copying.failed else ""
        report.say(f"{new.root} has {counted(new.count)} of the {old.count} of {old.root}{lacks}")
        report.tell_failed()
        if not copying.failed and run.failures is not None:
            run.failures.unlink(missing_ok=True)
        if handover is None and not done:
            report.say("run this again once those can be read: it goes on")
        if handover is not None:
            moved = (
                "is answered with it" if done else "was not moved: mend those and run this again, or --without-failed"
            )
            report.say(f"the alias {handover.alias} {moved}")
        return done


def _told(left: Behind, old: Gallery, new: Gallery) -> str:
    beside = [
        *([f"{len(left.tell)} with other metadata"] if left.tell else []),
        *([f"{len(left.remove)} to be removed"] if left.remove else []),
    ]
    parts = ", ".join([f"{counted(len(left.make))} of {old.root} to be made again", *beside])
    return f"{parts}; {new.root} has {new.count}"
