"""Everything below /v1, right and wrong in every part, over connections of one's own."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import Any

import grpc.aio

from .fuzz import LEAKS
from .raw_http import Answer, exchange
from .requests import chance_of
from .steady import Steady
from .table import Progress, Row
from .target import SENT, Target
from .v1_requests import Request, V1Requests

DESCRIPTION, MODELS = "/v1/openapi.json", "/v1/models"
# What the description promises, what Envoy answers to what is no request, and a client's own word for having left.
STATUSES = frozenset((200, 201, 204, 206, 304, 400, 401, 403, 404, 405, 408, 411, 413, 414, 416, 431, 499, 501, 503))
_RIGHT = frozenset((200, 201, 206, 404, 503))
_CLIENTS = 12
_PATIENCE_S = 60.0
# The door waits longer for what was announced.
_CUT_S = 0.2


class V1Fuzzer:
    """Sends one request after another.

    Attributes:
        statuses: how many answers of each status there were.
    """

    def __init__(self, target: Target, requests: V1Requests, seed: int) -> None:
        self._target, self._requests, self._seed = target, requests, seed
        self._asked: set[str] = set()
        self.statuses: Counter[str] = Counter()
        self.typed = Row("/v1: every answer is of a status that is promised, within a minute")
        self.told = Row("/v1: every error is JSON with a code and words, and shows no path or traceback")
        self.answered = Row("/v1: what is right is answered")
        self.whole = Row("/v1: every operation that the server describes was tried")

    async def send(self, channel: grpc.aio.Channel, number: int) -> None:
        """The request of that number; its connection is its own."""
        chance, where = chance_of(self._seed, "v1", number), f"seed {self._seed}, number {number}"
        request = self._requests.make(chance, self._target.header()[1])
        self._asked.add(request.operation)
        patience = _CUT_S if request.cut else _PATIENCE_S
        answer = await exchange(self._target.server.address, request.raw, patience, leaves=request.cut)
        self.statuses[str(answer.status)] += 1
        self._judge(request, answer, where)

    def _judge(self, request: Request, answer: Answer, where: str) -> None:
        # None is an answer to what is no HTTP, or not a whole request.
        self.typed.see(
            answer.status in STATUSES or (answer.status is None and not request.right), f"{answer.status} to {where}"
        )
        if request.right:
            self.answered.see(answer.status in _RIGHT, f"{answer.status} {answer.body[:200]!r} to {where}")
        told = answer.body and "json" in answer.headers.get("content-type", "")
        if told and answer.status is not None and answer.status >= 400:
            self.told.see(_is_problem(answer.body, request.raw), f"{answer.body[:300]!r} to {where}")

    def end(self) -> list[Row]:
        """The promises."""
        for operation in sorted(self._requests.operations):
            self.whole.see(operation in self._asked, f"{operation} was not")
        self.typed.worst = ", ".join(f"{status} {seen:,}" for status, seen in self.statuses.most_common())
        return [self.typed, self.told, self.answered, self.whole]


def _is_problem(body: bytes, asked: bytes) -> bool:
    """Whether an error is told as promised; what was asked may be shown again."""
    try:
        told = json.loads(body)
        words = told["detail"]
        return bool(told["code"] and words) and not any(leak in words for leak in LEAKS if leak.encode() not in asked)
    except (ValueError, KeyError, TypeError):
        return False


def _told(target: Target, path: str) -> Any:
    ask = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: {target.header()[1]}\r\n\r\n"
    return json.loads(asyncio.run(exchange(target.server.address, ask.encode(), _PATIENCE_S)).body)


def attack(target: Target, count: int, seed: int, progress: Progress) -> list[Row]:
    """Send ``count`` requests, a dozen at a time."""
    described, models = _told(target, DESCRIPTION), _told(target, MODELS)
    videos = {clip.video.name: clip.video.read_bytes() for clip in target.clips[:SENT]}
    fuzzer = V1Fuzzer(
        target, V1Requests(described, videos, models["default"], target.bundle.manifest.fingerprint), seed
    )
    steady = Steady(target, "/v1")
    asyncio.run(steady.run(fuzzer.send, count, _CLIENTS, seed, progress))
    return [*steady.rows(), *fuzzer.end()]
