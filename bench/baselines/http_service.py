"""A search function behind FastAPI and uvicorn: one worker, blocking work in FastAPI's own threads."""

from __future__ import annotations

import argparse
import contextlib
import os
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from statistics import median

import torch
import uvicorn
from anyio.to_thread import current_default_thread_limiter
from fastapi import FastAPI
from pydantic import BaseModel

from ..inputs.corpus import Corpus
from .parent import end_with_parent

Found = tuple[list[str], list[float]]
Search = Callable[[str, int], Found]

_TRIED = 5


class Query(BaseModel):
    """The body of a request."""

    text: str
    top: int = 10


class Hits(BaseModel):
    """The body of an answer, best first."""

    ids: list[str]
    scores: list[float]


def app(search: Search, threads: int, at_once: int) -> FastAPI:
    """``POST /search`` and ``GET /health``; at most ``at_once`` searches run at a time, others wait in line.

    ``/health`` reports the ``threads`` of a search.
    """

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        # More threads than cores would only take them from one another.
        current_default_thread_limiter().total_tokens = at_once
        yield

    def answer(query: Query) -> Hits:
        ids, scores = search(query.text, query.top)
        return Hits(ids=ids, scores=scores)

    async def health() -> dict[str, int]:
        return {"threads": threads}

    served = FastAPI(lifespan=lifespan)
    served.add_api_route("/search", answer, methods=["POST"])
    served.add_api_route("/health", health, methods=["GET"])
    return served


def run(make: Callable[[Corpus], Search]) -> None:
    """The ``main`` of a service: ``FOLDER --port P [--threads T]``, until it is told to end."""
    parser = argparse.ArgumentParser(description=make.__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--threads", type=int, help="of one search; what is faster if not given, one or every core")
    given = parser.parse_args()
    end_with_parent()
    corpus = Corpus.open(given.folder)
    cores = len(os.sched_getaffinity(0))
    search = make(corpus)
    threads = given.threads or fastest(search, corpus.queries[:_TRIED], sorted({1, cores}))
    torch.set_num_threads(threads)
    # As many searches at once as give every core a thread.
    served = app(search, threads, max(1, cores // threads))
    uvicorn.run(served, host="127.0.0.1", port=given.port, workers=1, log_level="warning", access_log=False)


def fastest(search: Search, queries: Sequence[str], choices: Sequence[int]) -> int:
    """The number of PyTorch's threads, of ``choices``, with which the median of some searches takes the least time.

    Two threads pay for a large model; a small one waits longer for the second than it gains.
    """
    times: dict[int, list[float]] = {threads: [] for threads in choices}
    for query in queries:
        for threads in choices:
            torch.set_num_threads(threads)
            started = time.perf_counter()
            search(query, 10)
            times[threads].append(time.perf_counter() - started)
    return min(choices, key=lambda threads: median(times[threads]))
