"""From the old gallery to the new one: a served alias is moved while no video is missing."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from ...export.bundle.errors import GalleryError, InvalidRequest
from ..client.aliases import Aliases, ServedModels
from ..client.sync import Client
from ..gallery.schema import GallerySchema
from ..gallery.store import Gallery
from . import note
from .copying import Copying
from .states import Behind, states

# Writers of the old gallery wait while so many videos are made, at most: they wait for a minute.
_MADE_MEANWHILE = 4
# What was let in before an alias moved has ended by then.
_ENDED_S = 660.0
_SEEN_S = 30.0
_POLL_S = 0.2


@dataclass(frozen=True)
class Handover:
    """Moves an alias of a running server.

    Attributes:
        server: its address.
        alias: what is moved.
        to: the served model that has the new gallery; empty for the one whose bundle is the new gallery's.
        without_failed: move it although some videos can't be made again.
    """

    server: str
    alias: str
    to: str = ""
    without_failed: bool = False

    def target(self, schema: GallerySchema) -> str:
        """The served model that is to answer, of those with the new gallery's bundle.

        Raises:
            InvalidRequest: the server has no such alias, and none or several such models.
            ServerError: it can't be asked.
        """
        there = Aliases(self.server).list()
        _at(there, self.alias)
        able = [model.name for model in there.models if model.fingerprint == schema.fingerprint]
        if self.to in able or (not self.to and len(able) == 1):
            return self.to or able[0]
        known = f"are {', '.join(able)}: say which with --to" if able else "is none: start it with both bundles"
        raise InvalidRequest(f"of models with the new bundle at {self.server} there {known}")

    def run(self, old: Gallery, new: Gallery, copying: Copying, pass_: Callable[[Behind], None]) -> bool:
        """Do what is left and move the alias while nobody else writes to the old gallery; then do what was on its way.

        Args:
            pass_: does what is left.

        Returns:
            Whether the alias was moved: not where a video can't be made again, unless that is no matter.

        Raises:
            GalleryError: the server has other galleries than these.
            FramesiftError: the alias could not be moved, or a gallery not be written.
        """
        target = self.target(new.schema)
        aliases = Aliases(self.server)
        before = _at(aliases.list(), self.alias)
        while True:
            with old.writing():
                left = copying.behind()
                if few := len(left.make) <= _MADE_MEANWHILE:
                    if left:
                        pass_(left)
                    if copying.failed and not self.without_failed:
                        return False
                    self._check(old, new, target, moved=before == target)
                    at_old, at_new = states(old), states(new)
                    # Whatever becomes of this process now, nobody takes what is written from then on for too much.
                    note.end(old, new)
                    aliases.switch(self.alias, target)
            if few:
                break
            pass_(left)
        _wait_written(aliases, before)
        if before != target and (left := copying.late(at_old, at_new)):
            pass_(left)
        return True

    def _check(self, old: Gallery, new: Gallery, target: str, *, moved: bool) -> None:
        """Wait until searches see the new gallery, and compare both with what the server has."""
        there = Aliases(self.server).list()
        name = next((alias for alias, model in there.aliases.items() if model == target), "")
        if not name:
            raise InvalidRequest(f"no alias of the server at {self.server} is answered by {target}: give it one")
        for alias, gallery in ((name, new), *(() if moved else ((self.alias, old),))):
            _wait_same(self.server, alias, gallery)


def _at(there: ServedModels, alias: str) -> str:
    if alias not in there.aliases:
        raise InvalidRequest(f"the server has no alias {alias!r}; it has {', '.join(there.aliases)}")
    return there.aliases[alias]


def _wait_same(server: str, alias: str, gallery: Gallery) -> None:
    """Wait until searches that choose an alias see all of a gallery.

    The model that searches is asked: the one that looks ids up also changes videos, and may wait for the old gallery's
    lease, which is held meanwhile.

    Raises:
        GalleryError: they see another one.
    """
    count, version, until = gallery.count, gallery.version, time.monotonic() + _SEEN_S
    with Client(server, model=alias) as client:
        while True:
            seen = client.list_videos(1)
            if seen.count == count and seen.version >= version:
                return
            if time.monotonic() > until:
                raise GalleryError(
                    f"{alias} at {server} is answered with a gallery of {seen.count} videos at version {seen.version}, "
                    f"and {gallery.root} has {count} at {version}: it is another one"
                )
            time.sleep(_POLL_S)


def _wait_written(aliases: Aliases, model: str) -> None:
    """Wait until a model has answered every request that may write."""
    until = time.monotonic() + _ENDED_S
    while (found := aliases.list().model(model)) is not None and found.writing and time.monotonic() < until:
        time.sleep(_POLL_S)
