"""Videos that are put into the gallery."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Any

import numpy as np

from ....export.bundle.checks import (
    check_id,
    check_metadata,
    check_source,
)
from ....export.bundle.cut_request import CutRequest
from ....export.bundle.errors import InvalidRequest
from ....export.bundle.models import INDEX_VIDEO
from ....export.bundle.packing import pack_rows
from ....export.bundle.ports import COUNT, CUTTING, DIGEST, FEATURES, ID, METADATA, SOURCE, VERSION, VIDEO
from ....export.bundle.segments import Cutting
from ...client.answers import output
from ...client.films import check_cut
from ...client.uploads import joined_digest
from ..asgi import Receive, Scope
from ..inference import Inference
from ..jobs import Jobs
from ..public import Public
from ..record import Record
from ..replies import Reply, json_reply
from ..tokens import Caller
from ..upstream import Tensor
from ..waiting import Client
from .fields import read_query
from .files import File, received, with_files
from .tensors import Answer

SECONDS, OVERLAP = "segment_seconds", "overlap"
FIELDS = (ID, SOURCE, METADATA, SECONDS, OVERLAP)
_CREATED = 201


class Uploads:
    """Puts videos into the gallery."""

    def __init__(self, jobs: Jobs, inference: Inference) -> None:
        self._jobs, self._inference = jobs, inference

    async def answer(self, scope: Scope, receive: Receive, caller: Caller, record: Record) -> Reply:
        """Index the video that a request brings.

        Raises:
            InvalidRequest, InvalidVideo, InvalidFeatures: it can't be.
            FramesiftError: as over gRPC.
        """
        public = self._jobs.allowed(INDEX_VIDEO, "", caller)
        facts = read_query(scope, FIELDS)
        async with AsyncExitStack() as stack:
            files = await received(self._jobs, public, scope, receive, caller, record, stack, FIELDS, facts)
            request, tensors, id_, digest = _request(files, public, facts)
            job = self._jobs.stored(request, tensors, stack, caller, record)
        answer = Answer(await self._inference.run(job, Client(caller.name, receive=receive), record))
        version, count = (int(output(answer, name)[0, 0]) for name in (VERSION, COUNT))
        return json_reply({"id": id_, "version": version, "count": count, "digest": digest.hex()}, _CREATED)


def _request(
    files: Mapping[str, File], public: Public, facts: Mapping[str, str]
) -> tuple[Any, dict[str, Tensor], str, bytes]:
    """The request for inference, its files as tensors, the video's id, and its files' digest, cut or not."""
    first = files.get(VIDEO) or files[FEATURES]
    digest: bytes = first.digest.digest()
    if len(files) > 1:
        digest = joined_digest(digest, files[FEATURES].digest.digest())
    cutting = _cutting(facts)
    if cutting is not None:
        check_cut(public.inputs, files)
    id_ = check_id(facts.get(ID) or first.name or digest.hex())
    arrays = {
        ID: pack_rows([id_.encode()]),
        SOURCE: pack_rows([check_source(facts.get(SOURCE, "")).encode()]),
        DIGEST: np.frombuffer(digest, np.uint8)[None],
        METADATA: pack_rows([check_metadata(facts.get(METADATA) or "{}").encode()]),
    }
    if cutting is not None:
        arrays[CUTTING] = np.frombuffer(CutRequest(cutting).json().encode(), np.uint8)[None]
    request, tensors = with_files(INDEX_VIDEO, arrays, files, public)
    return request, tensors, id_, digest


def _cutting(facts: Mapping[str, str]) -> Cutting | None:
    """How a film is cut, as the request's fields say it."""
    given: list[float] = []
    for name in (SECONDS, OVERLAP):
        told = facts.get(name) or "0"
        try:
            given.append(float(told))
        except ValueError as error:
            raise InvalidRequest(f"{name} is {told[:60]!r}, it must be a number of seconds") from error
    if not facts.get(SECONDS):
        if facts.get(OVERLAP):
            raise InvalidRequest(f"{OVERLAP} needs {SECONDS}: only segments overlap")
        return None
    return Cutting(*given)
