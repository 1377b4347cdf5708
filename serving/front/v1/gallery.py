"""What the gallery is and has, as JSON: its videos listed, looked up, changed and removed, and their files."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, TypeVar

import numpy.typing as npt

from ....export.bundle.checks import check_id, check_top, dump_metadata
from ....export.bundle.errors import InvalidRequest
from ....export.bundle.limits import MAX_METADATA_BYTES
from ....export.bundle.manifest import Manifest
from ....export.bundle.models import GALLERY_EDIT, GALLERY_LIST, GALLERY_LOOKUP, MAX_VIDEO
from ....export.bundle.packing import pack_joined
from ....export.bundle.ports import CHANGE_LENGTHS, CHANGES, FEATURES, ID_LENGTHS, IDS, VIDEO
from ...client.answers import edited, facts_list, lookup_result, video_page
from ...client.results import VideoFacts
from .. import body
from ..asgi import Receive, Scope
from ..inference import Inference
from ..jobs import Jobs
from ..likes import like_kind
from ..public import Public
from ..record import Record
from ..replies import Reply, json_reply
from ..status import Code, Refusal
from ..tokens import Caller
from ..waiting import Client
from .fields import needed, read_json, read_query
from .film_files import FilmFiles
from .tensors import Answer, asked

_MERGE = "merge"
LIST_FIELDS, VIDEO_FIELDS, UPDATE_FIELDS = ("top", "after", "where"), ("id",), ("id", _MERGE)
_DEFAULT_TOP = 100
_DIGITS = 6
# Metadata may come with blanks and escapes.
_LARGEST_JSON = 2 * MAX_METADATA_BYTES

Read = TypeVar("Read")


class GalleryCalls:
    """Answers what is asked about the gallery.

    Args:
        index: the model that puts videos into it.
        files: of its videos, where they may be read.
    """

    def __init__(
        self, jobs: Jobs, inference: Inference, manifest: Manifest, index: Public, files: FilmFiles | None
    ) -> None:
        self._jobs, self._inference, self._files = jobs, inference, files
        largest = index.parameters.get(MAX_VIDEO)
        self._told = {
            "system": manifest.system,
            "fingerprint": manifest.fingerprint,
            "takes": [name for name in (VIDEO, FEATURES) if name in index.inputs],
            "max_video_bytes": None if largest is None else int(largest),
            "files": files is not None,
            "like": like_kind(manifest) or None,
        }

    async def about(self, scope: Scope, receive: Receive, caller: Caller, record: Record) -> Reply:
        """What the gallery is, and how many videos it has."""
        request = asked(GALLERY_LOOKUP, _ids([]))
        found = await self._ask(request, lambda answer: lookup_result(answer, []), receive, caller, record)
        return json_reply({**self._told, "count": found.count, "version": found.version})

    async def list(self, scope: Scope, receive: Receive, caller: Caller, record: Record) -> Reply:
        """A page of the videos, in the order in which they were indexed."""
        given = read_query(scope, LIST_FIELDS)
        parameters: dict[str, Any] = {"top": check_top(_whole(given.get("top", str(_DEFAULT_TOP))))}
        parameters |= {name: given[name] for name in ("after", "where") if name in given}
        page = await self._ask(asked(GALLERY_LIST, {}, parameters), video_page, receive, caller, record)
        return json_reply({**asdict(page), "videos": [video.to_dict() for video in page.videos]})

    async def get(self, scope: Scope, receive: Receive, caller: Caller, record: Record) -> Reply:
        """What is known of a video."""
        id_ = check_id(needed(read_query(scope, VIDEO_FIELDS), "id"))
        return json_reply((await self._known(id_, receive, caller, record)).to_dict())

    async def update(self, scope: Scope, receive: Receive, caller: Caller, record: Record) -> Reply:
        """Replace a video's metadata, or lay something over it."""
        given = read_query(scope, UPDATE_FIELDS)
        id_, merge = check_id(needed(given, "id")), given.get(_MERGE, "false")
        if merge not in ("true", "false"):
            raise InvalidRequest(f"merge is {merge[:60]!r}, it must be true or false")
        self._jobs.allowed(GALLERY_EDIT, "", caller)
        with self._jobs.arriving(caller, body.announced(dict(scope["headers"]), _LARGEST_JSON)):
            metadata = read_json(await body.whole(receive, _LARGEST_JSON))
        name = _MERGE if merge == "true" else "metadata"
        change = f'{{"{name}":{dump_metadata(metadata)}}}'
        return await self._edit(id_, change, receive, caller, record)

    async def delete(self, scope: Scope, receive: Receive, caller: Caller, record: Record) -> Reply:
        """Remove a video."""
        id_ = check_id(needed(read_query(scope, VIDEO_FIELDS), "id"))
        return await self._edit(id_, json.dumps({"delete": True}), receive, caller, record)

    async def file(self, scope: Scope, receive: Receive, caller: Caller, record: Record) -> Reply:
        """A video's file, or a part of it.

        Raises:
            Refusal: the gallery has no such video, or the server may not read it.
        """
        id_ = check_id(needed(read_query(scope, VIDEO_FIELDS), "id"))
        known = await self._known(id_, receive, caller, record)
        if self._files is None:
            raise Refusal(Code.NOT_FOUND, "the server may read no files of videos: start it with --videos FOLDER")
        return await self._files.answer(dict(scope["headers"]), id_, known.source, caller.name)

    async def _known(self, id_: str, receive: Receive, caller: Caller, record: Record) -> VideoFacts:
        request = asked(GALLERY_LOOKUP, _ids([id_]), {"facts": True})
        (facts,) = await self._ask(request, lambda answer: facts_list(answer, [id_]), receive, caller, record)
        if facts is None:
            raise _absent(id_)
        return facts

    async def _edit(self, id_: str, change: str, receive: Receive, caller: Caller, record: Record) -> Reply:
        made, sizes = pack_joined([change.encode()])
        request = asked(GALLERY_EDIT, {**_ids([id_]), CHANGES: made, CHANGE_LENGTHS: sizes})
        found = await self._ask(request, lambda answer: edited(answer, [id_]), receive, caller, record)
        if not found.changed:
            raise _absent(id_)
        return json_reply({"id": id_, "version": found.version, "count": found.count})

    async def _ask(
        self, request: Any, read: Callable[[Answer], Read], receive: Receive, caller: Caller, record: Record
    ) -> Read:
        job = self._jobs.read(request, caller, record)
        return read(Answer(await self._inference.run(job, Client(caller.name, receive=receive), record)))


def _ids(ids: list[str]) -> Mapping[str, npt.NDArray[Any]]:
    joined, lengths = pack_joined([id_.encode() for id_ in ids])
    return {IDS: joined, ID_LENGTHS: lengths}


def _whole(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS):
        raise InvalidRequest(f"top is {text[:60]!r}, it must be a whole number")
    return int(text)


def _absent(id_: str) -> Refusal:
    return Refusal(Code.NOT_FOUND, f"the gallery has no video {id_[:100]!r}")
