"""Files that are sent over HTTP: what becomes of them and of the fields beside them, as far as inference."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from tritonclient.grpc import service_pb2 as pb

from framesift.export.bundle.errors import InvalidRequest
from framesift.export.bundle.limits import MAX_CANDIDATES
from framesift.export.bundle.models import INDEX_VIDEO
from framesift.serving.front.arena import Arena
from framesift.serving.front.deployment import public_models
from framesift.serving.front.jobs import Job, Jobs
from framesift.serving.front.json_requests import LARGEST_JSON
from framesift.serving.front.record import Record
from framesift.serving.front.replies import Reply
from framesift.serving.front.tokens import Caller
from framesift.serving.front.v1.search import FIELDS, Searches
from framesift.serving.front.v1.uploads import Uploads
from framesift.serving.repository.render import reference_manifest

from .requests_of import body

PUBLIC = public_models(reference_manifest())
VIDEO = b"a film, for all that the door knows"
SLOT = 1 << 20
FORM = "multipart/form-data; boundary=x"


class Asked(Exception):
    """A request that has come as far as inference."""


class Inference:
    """Knows what it is asked, and answers what was put into the gallery."""

    job: Job

    async def run(self, job: Job, client: Any, record: Record) -> bytes:
        self.job = job
        await job.held.aclose()
        if job.public.name != INDEX_VIDEO:
            raise Asked
        answer = pb.ModelInferResponse()
        for name, value in (("version", 3), ("count", 1)):
            answer.outputs.add(name=name, datatype="INT64", shape=[1, 1])
            answer.raw_output_contents.append(np.int64(value).tobytes())
        return bytes(answer.SerializeToString())


@pytest.fixture
def arena() -> Iterator[Arena]:
    made = Arena(f"framesift-sent-{os.getpid()}-arena", 2, 1, SLOT, 2 * SLOT)
    yield made
    made.close()
    os.unlink(f"/dev/shm/{made.region}")


def scope(size: int, kind: str, query: str = "") -> dict[str, Any]:
    headers = [(b"content-length", b"%d" % size), (b"content-type", kind.encode())]
    return {"method": "POST", "headers": headers, "query_string": query.encode()}


def form(search: str) -> bytes:
    """A search with a film."""
    parts = [b'name="search"\r\n\r\n' + search.encode(), b'name="video"; filename="a.mp4"\r\n\r\n' + VIDEO]
    return b"".join(b"--x\r\nContent-Disposition: form-data; " + part + b"\r\n" for part in parts) + b"--x--"


async def search(jobs: Jobs, inference: Inference, text: str, kind: str = FORM) -> Reply:
    sent = form(text) if kind == FORM else text.encode()
    searches = Searches(jobs, inference, None, exact=True)
    told = scope(len(sent), kind)
    return await searches.answer(told, body([sent]), Caller("a"), Record("search"))


def asked_for(arena: Arena, text: str, kind: str = FORM) -> Job:
    """What is asked for by a form's part ``search``, or by JSON."""
    inference = Inference()
    with pytest.raises(Asked):
        asyncio.run(search(Jobs(PUBLIC, arena), inference, text, kind))
    return inference.job


@pytest.mark.parametrize("query", ["", "segment_seconds=30&overlap=5"])
def test_a_film_has_the_id_and_the_digest_of_its_file_however_it_is_cut(query: str, arena: Arena) -> None:
    uploads = Uploads(Jobs(PUBLIC, arena), Inference())
    told = scope(len(VIDEO), "video/mp4", query)
    reply = asyncio.run(uploads.answer(told, body([VIDEO]), Caller("a"), Record("indexVideo")))
    digest = hashlib.sha256(VIDEO).hexdigest()
    assert json.loads(reply.body) == {"id": digest, "version": 3, "count": 1, "digest": digest}


def test_a_field_that_is_null_is_left_out(arena: Arena) -> None:
    nulls = dict.fromkeys(("text", "top", "candidates", "where", "min_score", "after", "offset", "weight", "partial"))
    wanted, found = asked_for(arena, "{}"), asked_for(arena, json.dumps(nulls))
    assert (found.public.name, found.asked) == (wanted.public.name, wanted.asked)
    text = {"text": "a dog"}
    wanted, found = (
        asked_for(arena, json.dumps(each), "application/json") for each in (text, dict.fromkeys(FIELDS) | text)
    )
    assert (found.public.name, found.asked) == (wanted.public.name, wanted.asked)


def test_a_search_in_a_form_may_be_as_long_as_one_in_json(arena: Arena) -> None:
    ids = [f"a video of a name as long as this one, number {number:05}" for number in range(MAX_CANDIDATES)]
    text = json.dumps({"candidates": ids})
    assert 3 * LARGEST_JSON / 4 < len(text) < LARGEST_JSON
    assert any(tensor.name == "candidates" for tensor in asked_for(arena, text).tensors)
    with pytest.raises(InvalidRequest, match=f"more than {LARGEST_JSON} bytes"):
        asyncio.run(search(Jobs(PUBLIC, arena), Inference(), text.ljust(LARGEST_JSON + 1)))


def test_a_request_that_is_refused_once_it_has_arrived_gives_its_place_back(arena: Arena) -> None:
    async def ask() -> None:
        # What is raised holds what the request held, and nobody may wait for its end.
        with pytest.raises(InvalidRequest, match="min_score") as caught:
            await search(Jobs(PUBLIC, arena), Inference(), '{"min_score": "high"}')
        async with asyncio.timeout(5), arena.slot("a", 1):
            assert caught.value

    asyncio.run(ask())
