"""A search function behind FastAPI and uvicorn: one worker, blocking work in FastAPI's own threads."""

from __future__ import annotations

import argparse
import contextlib
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import torch
import uvicorn
from anyio.to_thread import current_default_thread_limiter
from fastapi import FastAPI
from pydantic import BaseModel

from .material import Material

Found = tuple[list[str], list[float]]
Search = Callable[[str, int], Found]


class Query(BaseModel):
    """The body of a request."""

    text: str
    top: int = 10


class Hits(BaseModel):
    """The body of an answer, best first."""

    ids: list[str]
    scores: list[float]


def app(search: Search, at_once: int) -> FastAPI:
    """``POST /search`` and ``GET /health``; at most ``at_once`` searches run at a time, others wait in line."""

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        # More threads than cores would only take them from one another.
        current_default_thread_limiter().total_tokens = at_once
        yield

    def answer(query: Query) -> Hits:
        ids, scores = search(query.text, query.top)
        return Hits(ids=ids, scores=scores)

    async def health() -> dict[str, bool]:
        return {"ready": True}

    served = FastAPI(lifespan=lifespan)
    served.add_api_route("/search", answer, methods=["POST"])
    served.add_api_route("/health", health, methods=["GET"])
    return served


def run(make: Callable[[Material], Search], threads: int) -> None:
    """The ``main`` of a service: ``FOLDER --port P [--threads T]``, until it is told to end.

    Args:
        make: the search function over a folder of material.
        threads: of one search by default; as many searches run at once as give every core a thread.
    """
    parser = argparse.ArgumentParser(description=make.__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--threads", type=int, default=threads, help="threads of one search")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    at_once = max(1, len(os.sched_getaffinity(0)) // given.threads)
    with torch.inference_mode():
        search = make(Material.open(given.folder))
    served = app(search, at_once)
    uvicorn.run(served, host="127.0.0.1", port=given.port, workers=1, log_level="warning", access_log=False)
