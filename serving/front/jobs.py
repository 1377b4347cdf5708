"""Requests for inference, received and checked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from google.protobuf.message import DecodeError
from tritonclient.grpc import service_pb2 as pb

from ...export.bundle.errors import InvalidRequest, ServerUnavailable
from .admission import Admission
from .arena import Arena
from .fields import Fields, beside
from .likes import OF_VIDEOS
from .messages import SMALL_BYTES, Messages, Prefix
from .public import VERSION, Public
from .record import RECEIVE, Record
from .requests import Asked, check_sizes, read_request, read_tensors
from .responses import response
from .slot import Slot
from .status import Code, Refusal
from .tokens import Caller
from .uploads import LARGEST_HEAD, TENSORS, receive
from .upstream import Output, Tensor

# Bytes of messages that are put together in memory while they arrive, as slowly as their clients like. Those of a few
# bytes are not counted.
_ARRIVING, _FEW = 128 << 20, 64 << 10


@dataclass(frozen=True)
class Job:
    """A request that fits its model; ``held`` is the shared memory of its tensors, to be closed when it is answered."""

    public: Public
    asked: Asked
    tensors: list[Tensor]
    held: AsyncExitStack = field(default_factory=AsyncExitStack)


class Jobs:
    """Reads requests.

    Args:
        publics: what may be called, by name.
        arena: where large tensors go.
        refused: models that another deployment has, and why this one has not.
    """

    def __init__(
        self, publics: Mapping[str, Public], arena: Arena, refused: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        self._publics, self._arena, self._refused = publics, arena, refused
        self._arriving = Admission(_ARRIVING)
        self._largest = LARGEST_HEAD + max(public.largest for public in publics.values())

    async def receive(self, messages: Messages, prefix: Prefix, caller: Caller, record: Record) -> Job:
        """The request in the message that was begun; ``record`` is told what it is.

        Raises:
            InvalidRequest: it doesn't fit its model, or the machine's shared memory.
            Refusal: there is no such model, or it is too large.
            AccessDenied: the caller may not call it.
            ServerUnavailable: others have filled the shared memory or wait for it, or too much arrives already.
        """
        record.received = prefix.size
        if prefix.size <= SMALL_BYTES:
            with self.arriving(caller, prefix.size):
                message = await messages.whole(prefix)
            return self.read(_parsed(message), caller, record)
        if prefix.size > self._largest or prefix.compressed:
            limit = SMALL_BYTES if prefix.compressed else self._largest
            raise Refusal(Code.RESOURCE_EXHAUSTED, f"the message has {prefix.size} bytes, the limit is {limit}")
        async with AsyncExitStack() as stack, AsyncExitStack() as arriving:
            found: list[Public] = []

            def read(request: Any) -> Asked:
                found.append(self._of(request, caller, record))
                return read_request(request, found[0])

            async def slot() -> Slot:
                taken = await stack.enter_async_context(self._arena.slot(caller.name, prefix.size))
                await arriving.enter_async_context(taken.arriving())
                messages.resume(prefix.size)
                return taken

            asked, tensors = await receive(
                Fields(messages, prefix.size), read, slot, lambda: found[0].name in OF_VIDEOS
            )
            record.stage(RECEIVE, record.began)
            return Job(found[0], asked, tensors, stack.pop_all())

    @contextmanager
    def arriving(self, caller: Caller, size: int) -> Iterator[None]:
        """The time in which a message of so many bytes is put together in memory.

        Raises:
            ServerUnavailable: too much is already.
        """
        if size <= _FEW:
            yield
            return
        if not self._arriving.enter(caller.name, size):
            raise ServerUnavailable(f"{self._arriving.rows >> 20} MiB of messages arrive already: try again")
        try:
            yield
        finally:
            self._arriving.leave(caller.name, size)

    def room(self, caller: Caller, size: int) -> AbstractAsyncContextManager[Slot]:
        """A place in shared memory for ``size`` bytes of a caller's; see ``Arena.slot``."""
        return self._arena.slot(caller.name, size)

    def public(self, name: str, version: str = "") -> Public:
        """The model of that name.

        Raises:
            Refusal: there is none, or it is one of the server's own steps.
            InvalidRequest: it has no such version, or the system that is served can't answer it.
        """
        if name in self._refused:
            raise InvalidRequest(self._refused[name])
        if name not in self._publics:
            raise Refusal(
                Code.NOT_FOUND,
                f"there is no model {name[:60]!r} to be called here; there are {', '.join(self._publics)}",
            )
        if version not in ("", VERSION):
            raise InvalidRequest(f"{name} has the version {VERSION}, not {version[:60]!r}")
        return self._publics[name]

    def allowed(self, name: str, version: str, caller: Caller) -> Public:
        """The model of that name, if the caller may call it.

        Raises:
            AccessDenied: it may not.
            Refusal, InvalidRequest: as ``public``.
        """
        public = self.public(name, version)
        caller.check(public.roles, f"call {name}")
        return public

    def _of(self, request: Any, caller: Caller, record: Record) -> Public:
        record.model = self.public(request.model_name).name
        return self.allowed(request.model_name, request.model_version, caller)

    def read(self, request: Any, caller: Caller, record: Record) -> Job:
        """The job of a ModelInferRequest that is in memory; ``record`` is told what it is.

        Raises:
            InvalidRequest: it doesn't fit its model.
            Refusal: there is no such model.
            AccessDenied: the caller may not call it.
        """
        public = self._of(request, caller, record)
        asked = read_request(request, public)
        raws = zip(asked.inputs, read_tensors(request, asked), strict=True)
        tensors = [Tensor(found.name, found.datatype, found.shape, raw) for found, raw in raws]
        record.stage(RECEIVE, record.began)
        return Job(public, asked, tensors)

    def stored(
        self, request: Any, files: Mapping[str, Tensor], held: AsyncExitStack, caller: Caller, record: Record
    ) -> Job:
        """The job of a request whose ``files`` lie in shared memory already; what is ``held`` of it goes to the job.

        Raises:
            InvalidRequest, InvalidVideo, InvalidFeatures, Refusal, AccessDenied: as ``read``.
        """
        public = self._of(request, caller, record)
        asked = read_request(request, public)
        raws = iter(request.raw_input_contents)
        tensors = [
            files[found.name] if found.name in files else Tensor(found.name, found.datatype, found.shape, next(raws))
            for found in asked.inputs
        ]
        check_sizes([tensor.size or len(tensor.raw) for tensor in tensors], asked.inputs)
        record.stage(RECEIVE, record.began)
        return Job(public, asked, tensors, held.pop_all())


def _parsed(message: bytes) -> Any:
    # A million empty inputs are 2 MB, or 2 kB compressed, and everybody would wait while they are read.
    if len(message) > LARGEST_HEAD and beside(message, TENSORS, LARGEST_HEAD) > LARGEST_HEAD:
        raise InvalidRequest(
            f"all of a request but its tensors may have {LARGEST_HEAD} bytes: send those as raw_input_contents"
        )
    try:
        return pb.ModelInferRequest.FromString(message)
    except DecodeError as error:
        raise InvalidRequest("the message is no ModelInferRequest") from error


def answer_to(job: Job, outputs: Sequence[Output], cut: Sequence[int] = ()) -> bytes:
    """The ModelInferResponse to a job; ``cut`` are the rows whose texts are longer than what is read of them."""
    found = {output.name: output for output in outputs}
    return response(job.public.name, job.asked.id, [found[name] for name in job.asked.outputs], cut)
