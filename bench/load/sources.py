"""What clients send: requests as bytes, and how to read what is answered.

Requests are what ``serving/client`` sends, over its channel. They are serialised before the clock starts, and answers
are read off the wire but not unpacked, because on one machine every cycle of a client is taken from the server.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from tritonclient.grpc import InferResult, service_pb2
from tritonclient.grpc._utils import _get_inference_request

from ...serving.client import wire
from ...serving.client.uploads import Brought, read_video
from .channels import Channel, GrpcChannel

# Ids of videos that a benchmark puts into a gallery begin like this.
PREFIX = "framesift-bench/"

# Ids and scores of the videos that a search found, best first.
Found = tuple[list[str], list[float]]


@dataclass(frozen=True)
class Request:
    """The bytes of a request, and what reads the bytes of its answer."""

    body: bytes
    read: Callable[[bytes], Any]


class Source(ABC):
    """Where a client's requests come from; it travels to the client's process.

    Attributes:
        channel: what carries them.
        repeatable: whether one may be sent before the first job, so that connections are made.
    """

    channel: ClassVar[type[Channel]] = GrpcChannel
    repeatable: ClassVar[bool] = True

    @abstractmethod
    def requests(self, seed: int) -> Iterator[Request]:
        """Endless requests, in an order of the ``seed``."""


class Searching(Source):
    """Searches, the same ones again and again."""

    @abstractmethod
    def each(self) -> list[Request]:
        """The request for every query, in their order; ``read`` gives ``Found``."""

    def requests(self, seed: int) -> Iterator[Request]:
        """As ``Source.requests``."""
        each = self.each()
        return itertools.cycle([each[place] for place in np.random.default_rng(seed).permutation(len(each))])


@dataclass(frozen=True)
class Searches(Searching):
    """Searches for ``queries`` as framesift's clients send them."""

    queries: Sequence[str]
    top: int = 10

    def each(self) -> list[Request]:
        """As ``Searching.each``."""
        return [kserve(wire.search_calls(wire.encode_texts([query]), self.top, 1)[0], _first) for query in self.queries]


@dataclass(frozen=True)
class Indexing(Source):
    """Videos to index; each gets a new id, and with ``renew`` the same ids again, so that the gallery does not grow."""

    videos: Sequence[Path]
    renew: bool = False
    repeatable: ClassVar[bool] = False

    def requests(self, seed: int) -> Iterator[Request]:
        """As ``Source.requests``; videos may be more than memory holds, so each is read when its turn has come."""
        for number, path in zip(itertools.count(), itertools.cycle(self.videos)):
            upload = read_video(path)
            name = f"{PREFIX}{seed}-{number % len(self.videos) if self.renew else number}-{upload.id}"
            brought = Brought(replace(upload, id=name), None)
            yield kserve(wire.index_call(brought, {}, None, None, None))


def kserve(call: wire.Call[Any], found: Callable[[Any], Any] = lambda answer: answer) -> Request:
    """A call as Triton server's client would send it; ``found`` is what is wanted of its answer."""
    request = _get_inference_request(call.model, call.inputs, "", "", None, 0, False, False, 0, None, None)

    def read(body: bytes) -> Any:
        return found(call.read(InferResult(service_pb2.ModelInferResponse.FromString(body))))

    return Request(request.SerializeToString(), read)


def _first(results: Sequence[Any]) -> Found:
    hits = results[0].hits
    return [hit.id for hit in hits], [hit.score for hit in hits]
