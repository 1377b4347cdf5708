"""Videos that come as the body of a request, or in a form: written into shared memory as they arrive."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np

from ....export.bundle.checks import (
    NO_FEATURES,
    check_feature_bytes,
    check_id,
    check_metadata,
    check_source,
    check_video_bytes,
)
from ....export.bundle.errors import InvalidRequest, InvalidVideo
from ....export.bundle.limits import MAX_METADATA_BYTES
from ....export.bundle.models import INDEX_VIDEO, MAX_VIDEO
from ....export.bundle.packing import pack_rows
from ....export.bundle.ports import COUNT, DIGEST, FEATURES, ID, METADATA, SOURCE, VERSION, VIDEO
from ...client.answers import output
from ...client.uploads import joined_digest
from .. import body
from ..arena import Slot
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
from .multipart import Multipart
from .tensors import Answer, asked

FIELDS = (ID, SOURCE, METADATA)
_FORM = b"multipart/form-data"
_CREATED = 201


@dataclass
class _File:
    """A file that has arrived: where it lies, and what it is."""

    offset: int
    size: int = 0
    name: str = ""
    digest: Any = field(default_factory=hashlib.sha256)


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
        headers = dict(scope["headers"])
        size = record.received = _length(headers)
        kind = headers.get(b"content-type", b"")
        form = kind.lower().startswith(_FORM)
        facts = read_query(scope, FIELDS)
        if not form:
            _check_size(size, public)
        elif size > public.largest:
            raise InvalidRequest(f"the form has {size} bytes, the limit is {public.largest}")
        async with AsyncExitStack() as stack:
            slot = await stack.enter_async_context(self._jobs.room(caller, size))
            parts = body.parts(receive, size)
            if form:
                files = await _from_form(Multipart(parts, kind), slot, public, facts)
            else:
                files = {_main(public): await _stored(parts, slot, public)}
            request, tensors, id_, digest = _request(files, public, facts, slot)
            job = self._jobs.stored(request, tensors, stack.pop_all(), caller, record)
        answer = Answer(await self._inference.run(job, Client(caller.name, receive=receive), record))
        version, count = (int(output(answer, name)[0, 0]) for name in (VERSION, COUNT))
        return json_reply({"id": id_, "version": version, "count": count, "digest": digest.hex()}, _CREATED)


async def _from_form(form: Multipart, slot: Slot, public: Public, facts: dict[str, str]) -> dict[str, _File]:
    files: dict[str, _File] = {}
    while (part := await form.next()) is not None:
        if part.name in (VIDEO, FEATURES) and part.name not in files:
            files[part.name] = await _stored(form.data(), slot, public)
            files[part.name].name = part.filename or ""
        elif part.name in FIELDS and part.name not in facts:
            facts[part.name] = await form.text(MAX_METADATA_BYTES)
        else:
            known = ", ".join((VIDEO, FEATURES, *FIELDS))
            raise InvalidRequest(f"the form has a part {part.name[:60]!r} too many; it may have {known}, each once")
    if not files:
        raise InvalidVideo(f"the form has no file: add one as {_main(public)}")
    return files


async def _stored(parts: AsyncIterator[bytes], slot: Slot, public: Public) -> _File:
    found = _File(slot.begin())
    async for part in parts:
        found.size += len(part)
        _check_size(found.size, public)
        found.digest.update(part)
        slot.write(part)
    if not found.size:
        raise InvalidVideo("the file is empty")
    return found


def _request(
    files: Mapping[str, _File], public: Public, facts: Mapping[str, str], slot: Slot
) -> tuple[Any, dict[str, Tensor], str, bytes]:
    """The request for inference, its files as tensors, the video's id, and its digest."""
    first = files.get(VIDEO) or files[FEATURES]
    digest: bytes = first.digest.digest()
    if len(files) > 1:
        digest = joined_digest(digest, files[FEATURES].digest.digest())
    id_ = check_id(facts.get(ID) or _file_name(first.name) or digest.hex())
    arrays = {
        ID: pack_rows([id_.encode()]),
        SOURCE: pack_rows([check_source(facts.get(SOURCE, "")).encode()]),
        DIGEST: np.frombuffer(digest, np.uint8)[None],
        METADATA: pack_rows([check_metadata(facts.get(METADATA) or "{}").encode()]),
    }
    if {VIDEO, FEATURES} <= public.inputs.keys() and FEATURES not in files:
        arrays[FEATURES] = np.frombuffer(NO_FEATURES, np.uint8)[None]
    request = asked(INDEX_VIDEO, arrays)
    tensors = {}
    for name, file in files.items():
        request.inputs.add(name=name, datatype="UINT8", shape=[1, file.size])
        tensors[name] = Tensor(name, "UINT8", (1, file.size), region=slot.region, offset=file.offset, size=file.size)
    return request, tensors, id_, digest


def _check_size(size: int, public: Public) -> None:
    """Refuse a file that no part of the request can be, as soon as that is known."""
    if MAX_VIDEO in public.parameters:
        check_video_bytes(size, int(public.parameters[MAX_VIDEO]))
    else:
        check_feature_bytes(size)


def _main(public: Public) -> str:
    """What a body without a name is."""
    return VIDEO if VIDEO in public.inputs else FEATURES


def _file_name(told: str) -> str:
    """The last part of a file's name, whatever system it comes from."""
    return PurePosixPath(PureWindowsPath(told).name).name


def _length(headers: Mapping[bytes, bytes]) -> int:
    told = headers.get(b"content-length", b"")
    if not told.isdigit() or len(told) > 12:
        raise InvalidRequest("say how long the body is: the request needs a Content-Length")
    if headers.get(b"content-encoding", b"identity") != b"identity":
        raise InvalidRequest("send the video without a content-encoding")
    return int(told)
