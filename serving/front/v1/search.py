"""Searches as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any

import numpy as np
import numpy.typing as npt

from ....export.bundle.checks import check_id, check_top, encode_text
from ....export.bundle.errors import InvalidQuery, InvalidRequest
from ....export.bundle.limits import MAX_CANDIDATES, MAX_TOP
from ....export.bundle.models import SEARCH, SEARCH_LIKE, SEARCH_LIKE_TEXT, SEARCH_VIDEO, SEARCH_VIDEO_TEXT
from ....export.bundle.packing import pack_joined, pack_rows
from ....export.bundle.ports import CANDIDATE_LENGTHS, CANDIDATES, FEATURES, ID, TEXT, TEXT_LENGTH, TOP, VIDEO
from ...client.answers import search_results
from .. import body
from ..aliases import FIELD, Aliases
from ..asgi import Receive, Scope
from ..inference import Inference
from ..jobs import Job, Jobs
from ..json_requests import LARGEST_JSON
from ..record import Record, now
from ..replies import Reply, json_reply
from ..tokens import Caller
from ..waiting import Client
from .fields import read_fields
from .files import is_form, received, with_files
from .tensors import Answer, asked

# A video that is sent comes in a form, beside the other fields.
SENT = ("text", "top", "candidates", "where", "min_score", "after", "offset", "weight", "segments", "partial")
FIELDS = (*SENT, "texts", "like", "segment", "include", FIELD)
_PARAMETERS = ("where", "min_score", "after", "offset", "weight", "like", "segment", "include", "segments", "partial")
_OF_LIKES = ("weight", "include", "segment")
_FORM_FIELDS = ("search", ID)
DEFAULT_TOP = 10


class Searches:
    """Answers searches.

    Args:
        exact: every video has its score, and no short list was chosen before.
    """

    def __init__(self, jobs: Jobs, inference: Inference, aliases: Aliases, *, exact: bool) -> None:
        self._jobs, self._inference, self._aliases, self._exact = jobs, inference, aliases, exact

    async def answer(self, scope: Scope, receive: Receive, caller: Caller, record: Record) -> Reply:
        """The best videos for every text of a request, or for the video that it names or brings.

        Raises:
            InvalidRequest, InvalidQuery, InvalidVideo, InvalidFeatures: what the request asks for can't be.
            FramesiftError: as over gRPC.
        """
        if is_form(scope):
            return await self._by_file(scope, receive, caller, record)
        self._jobs.allowed(SEARCH, "", caller)
        with self._jobs.arriving(caller, body.announced(dict(scope["headers"]), LARGEST_JSON)):
            raw = await body.whole(receive, LARGEST_JSON)
        record.received = len(raw)
        values = read_fields(raw, FIELDS)
        if FIELD not in values:
            return await self.found(values, receive, caller, record)
        chosen = self._aliases.find(values[FIELD])
        record.told = chosen.records.end_call
        return await chosen.searches.found(values, receive, caller, record)

    async def found(self, values: Mapping[str, Any], receive: Receive, caller: Caller, record: Record) -> Reply:
        """The answer to a search with these fields; see ``answer``."""
        like, most = values.get("like"), self._jobs.allowed(SEARCH, "", caller).max_batch
        for name in _OF_LIKES:
            if like is None and name in values:
                raise InvalidRequest(f"{name} is for a search with a video: give its id as like, too")
        texts, arrays = read_search(values, most, like=like is not None)
        model = SEARCH if like is None else SEARCH_LIKE_TEXT if texts else SEARCH_LIKE
        job = self._jobs.read(asked(model, arrays, read_parameters(values)), caller, record)
        return await self._answered(job, texts, like, receive, caller, record)

    async def _by_file(self, scope: Scope, receive: Receive, caller: Caller, record: Record) -> Reply:
        public = self._jobs.allowed(SEARCH_VIDEO, "", caller)
        facts: dict[str, str] = {}
        async with AsyncExitStack() as stack:
            files = await received(self._jobs, public, scope, receive, caller, record, stack, _FORM_FIELDS, facts)
            values = read_fields(facts.get("search", "{}").encode(), SENT)
            texts, arrays = read_search(values, 1, like=True)
            first = files.get(VIDEO) or files[FEATURES]
            id_ = check_id(facts.get(ID) or first.name or first.digest.hexdigest())
            if ID in public.inputs:
                # A model that draws noise draws it by the id.
                arrays[ID] = pack_rows([id_.encode()])
            model = SEARCH_VIDEO_TEXT if texts else SEARCH_VIDEO
            request, tensors = with_files(model, arrays, files, public, read_parameters(values))
            job = self._jobs.stored(request, tensors, stack, caller, record)
        return await self._answered(job, texts, id_, receive, caller, record)

    async def _answered(
        self, job: Job, texts: Sequence[str], like: str | None, receive: Receive, caller: Caller, record: Record
    ) -> Reply:
        answer = Answer(await self._inference.run(job, Client(caller.name, receive=receive), record))
        results = [result.to_dict() for result in search_results(answer, texts or [""], like)]
        exact = self._exact and all(result.get("exact", True) for result in results)
        return json_reply({"results": results, "exact": exact, "seconds": round(now() - record.began, 6)})


def read_search(
    values: Mapping[str, Any], most: int, *, like: bool = False
) -> tuple[Sequence[str], dict[str, npt.NDArray[Any]]]:
    """The texts of a search, ``most`` of them at most, and its inputs by name.

    Args:
        like: it is made with a video, beside one text at most.

    Raises:
        InvalidRequest, InvalidQuery: a field of another type than it has, or beyond its limits.
    """
    texts = _texts(values, like=like)
    # Before they are laid side by side: of many, each would take the room of the longest.
    if len(texts) > most:
        raise InvalidRequest(f"a search takes 1 to {most} texts, it was given {len(texts)}: ask in parts")
    rows = [encode_text(text) for text in texts]
    top, count = check_top(values.get("top", DEFAULT_TOP)), max(1, len(rows))
    if top * count > MAX_TOP:
        raise InvalidRequest(f"{len(rows)} texts with {top} hits each are more than the {MAX_TOP} hits of a request")
    arrays: dict[str, npt.NDArray[Any]] = {TOP: np.full((count, 1), top, np.int32)}
    if rows:
        arrays[TEXT] = pack_rows(rows)
        arrays[TEXT_LENGTH] = np.array([[len(row)] for row in rows], np.int32)
    if "candidates" in values:
        given = _listed(values["candidates"], "candidates")
        if not 1 <= len(given) <= MAX_CANDIDATES:
            raise InvalidRequest(f"a search takes 1 to {MAX_CANDIDATES} candidates, it was given {len(given)}")
        ids = [check_id(id_) for id_ in given]
        joined, lengths = pack_joined([id_.encode() for id_ in ids])
        arrays[CANDIDATES] = np.repeat(joined[None], count, 0)
        arrays[CANDIDATE_LENGTHS] = np.repeat(lengths[None], count, 0)
    return texts, arrays


def read_parameters(values: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of a search's request: facts of the hits, and what else is asked for.

    Raises:
        InvalidRequest: a value that no parameter can have.
    """
    given = {name: values[name] for name in _PARAMETERS if values.get(name) is not None}
    for name, value in given.items():
        if not isinstance(value, str | float | int) or (isinstance(value, int) and abs(value) >= 1 << 63):
            raise InvalidRequest(f"{name} is {type(value).__name__}, it must be a text or a number of usual size")
        if isinstance(value, str) and any("\ud800" <= character <= "\udfff" for character in value):
            raise InvalidRequest(f"{name} holds half a character, which no text has")
    return {"facts": True, **given}


def _texts(values: Mapping[str, Any], *, like: bool) -> Sequence[Any]:
    if like:
        if "texts" in values:
            raise InvalidRequest("a search with a video has one text beside it, or none: give text in place of texts")
        return [values["text"]] if "text" in values else []
    if ("text" in values) == ("texts" in values):
        raise InvalidRequest("a search has either text or texts, or the id of a video to search with, like")
    texts = [values["text"]] if "text" in values else _listed(values["texts"], "texts", InvalidQuery)
    if not texts:
        raise InvalidQuery("the texts are an empty list: give one at least")
    return texts


def _listed(values: Any, what: str, error: type[InvalidRequest] | type[InvalidQuery] = InvalidRequest) -> Sequence[Any]:
    if not isinstance(values, list):
        raise error(f"the {what} must be a JSON list")
    return values
