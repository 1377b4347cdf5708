"""Files that come as the body of a request, or in a form: written into shared memory as they arrive."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np
import numpy.typing as npt

from ....export.bundle.checks import NO_FEATURES, check_feature_bytes, check_video_bytes
from ....export.bundle.errors import InvalidRequest, InvalidVideo
from ....export.bundle.models import MAX_VIDEO
from ....export.bundle.ports import FEATURES, VIDEO
from .. import body
from ..asgi import Receive, Scope
from ..jobs import Jobs
from ..json_requests import LARGEST_JSON
from ..public import Public
from ..record import Record
from ..slot import Slot
from ..tokens import Caller
from ..upstream import Tensor
from .multipart import Multipart
from .tensors import asked

_FORM = b"multipart/form-data"


@dataclass
class File:
    """A file that has arrived: where it lies in shared memory, and what it is."""

    slot: Slot
    offset: int
    size: int = 0
    name: str = ""
    digest: Any = field(default_factory=hashlib.sha256)


def is_form(scope: Scope) -> bool:
    """Whether the body is a form, which may hold files."""
    kind: bytes = dict(scope["headers"]).get(b"content-type", b"")
    return kind.lower().startswith(_FORM)


async def received(
    jobs: Jobs,
    public: Public,
    scope: Scope,
    receive: Receive,
    caller: Caller,
    record: Record,
    stack: AsyncExitStack,
    fields: Sequence[str],
    facts: dict[str, str],
) -> dict[str, File]:
    """The files of a request, by what they are to the model: its body, or the files of a form.

    Args:
        stack: holds their place in shared memory.
        fields: other parts that a form may have, whose texts come into ``facts`` unless they are there.

    Raises:
        InvalidRequest, InvalidVideo, InvalidFeatures: there is none, or one that the model can't take.
        ServerUnavailable: the shared memory is full, or others wait for it.
    """
    headers = dict(scope["headers"])
    size = record.received = _length(headers)
    form = is_form(scope)
    if not form:
        _check_size(size, public)
    elif size > public.largest:
        raise InvalidRequest(f"the form has {size} bytes, the limit is {public.largest}")
    slot = await stack.enter_async_context(jobs.room(caller, size))
    async with slot.arriving():
        parts = body.parts(receive, size)
        if form:
            return await _from_form(Multipart(parts, headers[b"content-type"]), slot, public, fields, facts)
        return {_main(public): await _stored(parts, slot, public)}


def with_files(
    model: str,
    arrays: Mapping[str, npt.NDArray[Any]],
    files: Mapping[str, File],
    public: Public,
    parameters: Mapping[str, Any] | None = None,
) -> tuple[Any, dict[str, Tensor]]:
    """The request that asks a model with these arrays, files and parameters, and the files as tensors."""
    found = dict(arrays)
    if {VIDEO, FEATURES} <= public.inputs.keys() and FEATURES not in files:
        found[FEATURES] = np.frombuffer(NO_FEATURES, np.uint8)[None]
    request, tensors = asked(model, found, parameters), {}
    for name, file in files.items():
        request.inputs.add(name=name, datatype="UINT8", shape=[1, file.size])
        tensors[name] = Tensor(
            name,
            "UINT8",
            (1, file.size),
            region=file.slot.region,
            offset=file.offset,
            size=file.size,
            digest=file.digest.digest(),
        )
    return request, tensors


async def _from_form(
    form: Multipart, slot: Slot, public: Public, fields: Sequence[str], facts: dict[str, str]
) -> dict[str, File]:
    files: dict[str, File] = {}
    while (part := await form.next()) is not None:
        if part.name in (VIDEO, FEATURES) and part.name not in files:
            files[part.name] = await _stored(form.data(), slot, public)
            files[part.name].name = _file_name(part.filename or "")
        elif part.name in fields and part.name not in facts:
            facts[part.name] = await form.text(LARGEST_JSON)
        else:
            known = ", ".join((VIDEO, FEATURES, *fields))
            raise InvalidRequest(f"the form has a part {part.name[:60]!r} too many; it may have {known}, each once")
    if not files:
        raise InvalidVideo(f"the form has no file: add one as {_main(public)}")
    return files


async def _stored(parts: AsyncIterator[bytes], slot: Slot, public: Public) -> File:
    found = File(slot, slot.begin())
    async for part in parts:
        found.size += len(part)
        _check_size(found.size, public)
        found.digest.update(part)
        slot.write(part)
    if not found.size:
        raise InvalidVideo("the file is empty")
    return found


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
