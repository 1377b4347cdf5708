"""Making a gallery's videos again in another gallery, pass by pass, until nothing is behind."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence

from ...export.bundle.errors import InvalidRequest
from ...export.bundle.limits import MAX_IDS
from ..gallery.editing import Change, edit
from ..gallery.store import Gallery
from ..indexing.run import Told, Workers, index_videos
from ..indexing.video import Made, Video
from .places import Places
from .states import Behind, States, behind, changed, kept, states


class Copying:
    """Brings a gallery to where another is.

    There is no state beside the two galleries: what is to be done is what one has and the other has not, so a run
    that was stopped at any moment goes on where it is run again.

    Args:
        workers: starts, or has started, what makes records.
        told: called with each video that was made or can't be.

    Attributes:
        failed: the states, in the old gallery, of videos that can't be made.
    """

    def __init__(self, old: Gallery, new: Gallery, places: Places, workers: Callable[[], Workers], told: Told) -> None:
        self._old, self._new, self._places, self._workers = old, new, places, workers
        self._told = told
        self._states: dict[str, bytes] = {}
        self.failed: dict[str, bytes] = {}

    def behind(self) -> Behind:
        """What the new gallery lacks now."""
        return behind(states(self._old), states(self._new), self.failed)

    def catch_up(self, left: Behind) -> None:
        """Do what the new gallery lacked.

        Raises:
            GalleryError: a gallery can't be read or written.
            FramesiftError: what ended a worker for good.
        """
        changes = {id_: Change(delete=True) for id_ in left.remove}
        for part in _parts(left.tell):
            found = kept(self._old.reader(), part)
            edit(self._new, {one.id: Change(text=one.metadata) for one in found})
        if changes:
            edit(self._new, changes)
        videos = self._videos(left.make)
        # Where nothing can be made, no worker is started.
        for first in videos:
            index_videos(self._new, itertools.chain([first], videos), self._workers(), self._note)

    def late(self, old: States, new: States) -> Behind:
        """What was written to the old gallery since it had the states ``old``, but for videos that the new one, which
        had the states ``new`` then, has got otherwise since.
        """
        now, copy = states(self._old), states(self._new)
        ids = changed(old, now) - changed(new, copy)
        return behind(
            {id_: state for id_, state in now.items() if id_ in ids},
            {id_: state for id_, state in copy.items() if id_ in ids},
            self.failed,
        )

    def _videos(self, ids: Sequence[str]) -> Iterator[Video]:
        for part in _parts(ids):
            for one in kept(self._old.reader(), part):
                self._states[one.id] = one.state
                try:
                    yield self._places.video(one)
                except InvalidRequest as error:
                    self._note(Made(Video(one.id, one.source, one.source, metadata=one.metadata), reason=str(error)))

    def _note(self, made: Made) -> None:
        state = self._states.pop(made.video.id)
        if made.reason:
            self.failed[made.video.id] = state
        else:
            self.failed.pop(made.video.id, None)
        self._told(made)


def _parts(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(ids), MAX_IDS):
        yield ids[start : start + MAX_IDS]
