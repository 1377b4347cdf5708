"""Which videos the gallery has, by id, what is known of them, and changes of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...export.bundle.checks import DIGEST_BYTES
from ...export.bundle.errors import FramesiftError, InvalidRequest
from ...export.bundle.limits import MAX_IDS, MAX_SHOWN
from ...export.bundle.models import SHORTLIST_VARIABLE
from ...export.bundle.packing import unpack_joined
from ...export.bundle.ports import (
    CHANGE_LENGTHS,
    CHANGES,
    COUNT,
    DETAILS,
    DIGESTS,
    ID_LENGTHS,
    IDS,
    PRESENT,
    VERSION,
)
from ...export.bundle.shortlist import chooser_in
from ...export.bundle.store import read_manifest
from ..gallery.editing import edit, read_changes
from ..gallery.environment import gallery_from_env
from ..gallery.store import Gallery
from ..search.options import Options
from .base import Arrays, Backend


class GalleryLookup(Backend):
    """Reads N ids joined in ``ids`` uint8 [W] with ``id_lengths`` int32 [N]; N may be 0.

    Writes ``present`` bool [N], the files' ``digests`` uint8 [N, 32] (zeros where absent), and the gallery's
    ``count`` and ``version`` int64 [1]. ``details`` uint8 [D] is empty, or, where the request's ``options`` ask for
    facts, a JSON list with an object or null for every id. Where another gallery chooses candidates, a video is present
    that both galleries have of the same file; count, version and facts are the main gallery's.

    Where a request has ``changes`` uint8 [C], one for every id with ``change_lengths`` int32 [N], they are made, see
    ``gallery.editing``; ``present`` tells of before, and digests are zeros. Once it is answered they survive the death
    of every process.
    """

    gallery: Gallery
    chooser: Gallery | None = None

    def setup(self, config: dict[str, Any], folder: Path) -> None:
        """Open the gallery, or make it."""
        self.gallery = gallery_from_env(read_manifest(folder))
        if (chooser := chooser_in(folder)) is not None:
            self.chooser = gallery_from_env(chooser, SHORTLIST_VARIABLE)

    def run(self, inputs: Sequence[Mapping[str, np.ndarray[Any, Any]]]) -> list[Arrays | FramesiftError]:
        """Each request on its own."""
        return [self._one(request) for request in inputs]

    def finalize(self) -> None:
        """Let the gallery's compaction end."""
        self.gallery.close()

    def _one(self, request: Mapping[str, np.ndarray[Any, Any]]) -> Arrays | FramesiftError:
        try:
            options = Options.of(request) or Options()
            ids = ids_of(request, options)
            if CHANGES in request:
                return self._edited(ids, unpack_joined(request[CHANGES], request[CHANGE_LENGTHS], CHANGES))
            found = self.gallery.lookup(ids)
            other = found if self.chooser is None else self.chooser.lookup(ids)
            known = self.gallery.describe(ids) if options.facts else {}
        except FramesiftError as error:
            return error
        details = ",".join(known[id_].json() if id_ in known else "null" for id_ in ids) if options.facts else ""
        both = dict(found.digests.items() & other.digests.items())
        digests = [both.get(id_, b"") for id_ in ids]
        return _answer(digests, found.count, found.version, f"[{details}]" if options.facts else "")

    def _edited(self, ids: Sequence[str], changes: Sequence[str]) -> Arrays:
        wanted = read_changes(ids, changes)
        edited = edit(self.gallery, wanted)
        if self.chooser is not None:
            # After the other: what that has can be chosen.
            edit(self.chooser, {id_: change for id_, change in wanted.items() if change.delete})
        present = [bytes(DIGEST_BYTES) if id_ in edited.present else b"" for id_ in ids]
        return _answer(present, edited.commit.count, edited.commit.version)


def ids_of(request: Mapping[str, np.ndarray[Any, Any]], options: Options) -> list[str]:
    """The ids of a request.

    Raises:
        InvalidRequest: too many of them, or some that can't be read.
    """
    asked, most = request[ID_LENGTHS].size, MAX_SHOWN if options.facts else MAX_IDS
    if asked > most:
        raise InvalidRequest(f"{asked} ids in one request, the limit is {most}: ask in parts")
    return unpack_joined(request[IDS], request[ID_LENGTHS], IDS)


def _answer(digests: Sequence[bytes], count: int, version: int, details: str = "") -> Arrays:
    """The outputs, from the digest of every video; of one that is not there an empty one."""
    joined = b"".join(digest or bytes(DIGEST_BYTES) for digest in digests)
    return {
        PRESENT: np.array([bool(digest) for digest in digests], np.bool_),
        DIGESTS: np.frombuffer(joined, np.uint8).reshape(len(digests), DIGEST_BYTES),
        COUNT: np.array([count], np.int64),
        VERSION: np.array([version], np.int64),
        DETAILS: np.frombuffer(details.encode(), np.uint8),
    }
