"""Calls that ask a gallery of its videos, or change what it knows of them: as ``wire``, nothing is sent from here."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy.typing as npt
from tritonclient.grpc import InferResult

from ...export.bundle.checks import check_id, check_top, dump_metadata, listed
from ...export.bundle.errors import InvalidRequest
from ...export.bundle.limits import MAX_CHANGE_BYTES, MAX_IDS, MAX_SHOWN
from ...export.bundle.models import GALLERY_EDIT, GALLERY_LIST, GALLERY_LOOKUP
from ...export.bundle.packing import pack_joined
from ...export.bundle.ports import CHANGE_LENGTHS, CHANGES, ID_LENGTHS, IDS
from .answers import edited, facts_list, lookup_result, video_page
from .results import Edited, LookupResult, VideoFacts, VideoPage
from .search_options import narrowed
from .wire import Answer, Call, parts, tensors

_DELETE = json.dumps({"delete": True}).encode()


def lookup_calls(ids: Sequence[str]) -> list[Call[LookupResult]]:
    """Calls that look up ids, at least one and at most ``MAX_IDS`` ids in each.

    Raises:
        InvalidRequest: no list of ids, or an id that breaks the rules.
    """
    return _of_ids(_checked(ids), MAX_IDS, lookup_result, least=1)


def joined_lookup(found: Sequence[LookupResult]) -> LookupResult:
    """What was found of all ids, from the answers to ``lookup_calls``; the last one's count and version."""
    return LookupResult(
        {id_: digest for part in found for id_, digest in part.digests.items()},
        found[-1].count,
        found[-1].version,
    )


def describe_calls(ids: Sequence[str]) -> list[Call[list[VideoFacts | None]]]:
    """Calls that ask what is known of videos.

    Raises:
        InvalidRequest: no list of ids, or an id that breaks the rules.
    """
    return _of_ids(_checked(ids), MAX_SHOWN, facts_list, {"facts": True})


def list_call(top: int, where: str | None, after: str | None) -> Call[VideoPage]:
    """A call for a page of the list of videos.

    Raises:
        InvalidRequest: ``top`` out of range, no filter, or no cursor.
    """
    return Call(GALLERY_LIST, [], video_page, {"top": check_top(top), **narrowed(where, after)})


def delete_calls(ids: Sequence[str]) -> list[Call[Edited]]:
    """Calls that remove videos.

    Raises:
        InvalidRequest: no list of ids, or an id that breaks the rules.
    """
    checked = list(dict.fromkeys(_checked(ids)))
    return [_edit_call(checked[part], [_DELETE] * len(checked[part])) for part in parts(len(checked), MAX_IDS)]


def update_calls(changes: Mapping[str, Mapping[str, Any]], merge: bool) -> list[Call[Edited]]:
    """Calls that replace the metadata of videos, or lay something over it.

    Raises:
        InvalidRequest: no mapping of ids to objects, or an id or metadata that breaks the rules.
    """
    if not isinstance(changes, Mapping):
        raise InvalidRequest(f"the changes are {type(changes).__name__}: give metadata by id")
    name = "merge" if merge else "metadata"
    calls: list[Call[Edited]] = []
    ids: list[str] = []
    texts: list[bytes] = []
    size = 0
    for id_, metadata in changes.items():
        text = f'{{"{name}":{dump_metadata(metadata)}}}'.encode()
        if ids and (size + len(text) > MAX_CHANGE_BYTES or len(ids) == MAX_IDS):
            calls.append(_edit_call(ids, texts))
            ids, texts, size = [], [], 0
        ids.append(check_id(id_))
        texts.append(text)
        size += len(text)
    return [*calls, _edit_call(ids, texts)] if ids else calls


def joined_edits(found: Sequence[Edited]) -> Edited:
    """What became of all videos, from the answers to calls of which there is one at least."""
    last = found[-1]
    return Edited(
        tuple(id_ for part in found for id_ in part.changed),
        tuple(id_ for part in found for id_ in part.absent),
        last.version,
        last.count,
    )


def _edit_call(ids: Sequence[str], changes: Sequence[bytes]) -> Call[Edited]:
    joined, lengths = pack_joined([id_.encode() for id_ in ids])
    made, sizes = pack_joined(changes)
    inputs: dict[str, npt.NDArray[Any]] = {IDS: joined, ID_LENGTHS: lengths, CHANGES: made, CHANGE_LENGTHS: sizes}
    return Call(GALLERY_EDIT, tensors(inputs), lambda result: edited(result, ids))


def _checked(ids: Sequence[str]) -> list[str]:
    return [check_id(id_) for id_ in listed(ids, "ids")]


def _of_ids(
    ids: Sequence[str],
    most: int,
    read: Callable[[InferResult, Sequence[str]], Answer],
    options: Mapping[str, Any] | None = None,
    *,
    least: int = 0,
) -> list[Call[Answer]]:
    """Lookups of at most ``most`` ids in each, and at least so many lookups."""

    def call(part: Sequence[str]) -> Call[Answer]:
        joined, lengths = pack_joined([id_.encode() for id_ in part])
        inputs = tensors({IDS: joined, ID_LENGTHS: lengths})
        return Call(GALLERY_LOOKUP, inputs, lambda result: read(result, part), options or {})

    return [call(ids[part]) for part in parts(len(ids), most)] or [call([])] * least
