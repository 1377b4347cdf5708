"""The comparison of servers: equal material, equal results, and what is made of the measured loops."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from tritonclient.grpc import service_pb2

from framesift.bench.baselines.commands import against_command
from framesift.bench.baselines.engines import Engines
from framesift.bench.baselines.grpc_service import listening
from framesift.bench.baselines.hugging_face_names import to_hugging_face
from framesift.bench.baselines.services import SERVICES
from framesift.bench.baselines.sources import HttpChannel, HttpSearches, PytritonSearches
from framesift.bench.baselines.summary import summaries, table
from framesift.bench.inputs.corpus import Corpus, prepare
from framesift.bench.load.jobs import Job, Report, Work
from framesift.bench.load.sources import Found, Searches
from framesift.bench.load.worker import Sender, ask, send_closed
from framesift.bench.schema.load import Percentiles
from framesift.bench.schema.rows import Loop
from framesift.export.bundle.ports import FRAME_EMBEDDINGS
from framesift.export.bundle.store import Bundle
from framesift.export.encoders.clip import Clip, ClipConfig
from framesift.export.systems.state_dict_keys import to_openai
from framesift.serving.client.aio import AsyncClient
from framesift.serving.gallery.store import Gallery
from framesift.serving.ranking_parity import TIE

from .results import equal_results

VIDEOS = 70
# Nothing is left of it after cleaning, as the server finds out.
BLANK = "&nbsp;"


@pytest.fixture(scope="module")
def corpus(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    root = tmp_path_factory.mktemp("against") / "corpus"
    return prepare(bundle, VIDEOS, root, drawn=True, report=lambda _: None)


def test_a_corpus_is_made_once(corpus: Corpus, bundle: Bundle) -> None:
    again = prepare(bundle, VIDEOS, corpus.root, drawn=True, report=pytest.fail)
    np.testing.assert_array_equal(again.videos[FRAME_EMBEDDINGS], corpus.videos[FRAME_EMBEDDINGS])
    other = prepare(bundle, VIDEOS + 1, corpus.root.with_name("other"), drawn=True, report=lambda _: None)
    assert len(other) == VIDEOS + 1
    assert len(set(corpus.queries)) == len(corpus.queries) == 2000


def test_the_gallery_holds_the_embeddings(corpus: Corpus) -> None:
    """What float16 keeps is what the formula reads, so that results can be equal."""
    with Gallery.open(corpus.gallery, corpus.bundle.manifest, create=False) as gallery:
        assert gallery.count == VIDEOS
    view = Engines(corpus).view
    assert view.ids[:VIDEOS] == corpus.ids
    stored = view.tensors["frame_vectors"][:VIDEOS, 0].astype(np.float32)
    frames = corpus.videos[FRAME_EMBEDDINGS].numpy()
    assert np.abs(stored - frames).max() < 2e-3
    assert (stored == frames).mean() > 0.95
    np.testing.assert_allclose(np.linalg.norm(corpus.means, axis=1), 1, atol=1e-5)


def test_engines_give_the_published_formulas_results(corpus: Corpus) -> None:
    equal_results(corpus, TIE)


def test_the_plain_grpc_server_answers_framesifts_client(corpus: Corpus) -> None:
    engines, queries = Engines(corpus), corpus.queries[:20]

    async def loop(address: str, queries: list[str], concurrency: int, seconds: float) -> Report:
        sender, start = Sender(Work(address, Searches(queries))), time.monotonic()
        await send_closed(sender, Job("closed", start, seconds, concurrency=concurrency))
        return sender.report(start, 0.0)

    async def asked() -> tuple[list[str], Found, Report, Report]:
        async with listening(engines, 0) as address:
            async with AsyncClient(address) as client:
                assert await client.ready()
                hits = (await client.search(queries[0], top=3)).hits
            (found,) = await ask(address, Searches(queries[:1], 3), 60.0)
            ran, refused = await loop(address, queries, 3, 5.0), await loop(address, [BLANK], 1, 1.0)
            return [hit.id for hit in hits], found, ran, refused

    ids, found, ran, refused = asyncio.run(asked())
    assert ids == found[0] == engines.ids(engines.search(queries[:1], 3)[0])
    assert found[1] == sorted(found[1], reverse=True)
    assert ran.succeeded.all()
    assert len(ran.latency) > 3
    assert ran.ended.max() >= 5.0
    # Each client has one request in flight at any time.
    assert ran.latency.sum() <= 3 * ran.ended.max()
    assert not refused.succeeded.any()
    assert {refused.outcomes[place] for place in refused.outcome} == {("INVALID_ARGUMENT", False)}


def test_other_services_are_sent_what_they_read() -> None:
    (request,) = HttpSearches(["a dog"], 3).each()
    assert json.loads(request.body) == {"text": "a dog", "top": 3}
    assert request.read(b'{"ids": ["v"], "scores": [0.5]}') == (["v"], [0.5])
    (request,) = PytritonSearches(["a dög"], 3).each()
    sent = service_pb2.ModelInferRequest.FromString(request.body)
    assert sent.model_name == "pytriton_search"
    assert ["a dög".encode() in raw for raw in sent.raw_input_contents] == [True, False]


def test_http_failures_are_told_by_their_status() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := (await reader.readuntil(b"\r\n\r\n")).decode().lower():
            body = await reader.readexactly(int(head.partition("content-length: ")[2].split()[0]))
            writer.write(f"HTTP/1.1 {json.loads(body)['text']} x\r\ncontent-length: 2\r\n\r\n{{}}".encode())

    async def statuses() -> list[tuple[str, bool]]:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        channel = HttpChannel(f"127.0.0.1:{server.sockets[0].getsockname()[1]}")
        told = [await channel.send(r.body, 60.0) for r in HttpSearches(["200", "500", "503"]).each()]
        server.close()
        await channel.close()
        other = HttpChannel("127.0.0.1:1")
        told.append(await other.send(b"", 60.0))
        await other.close()
        return [(one.status, one.refused) for one in told]

    pytest.importorskip("aiohttp")
    assert asyncio.run(statuses()) == [
        ("OK", False),
        ("HTTP 500", False),
        ("HTTP 503", True),
        ("ClientConnectorError", False),
    ]


def loops(qps: dict[str, tuple[float, ...]]) -> list[Loop]:
    about = {"model": "m", "videos": 1, "concurrency": 8, "requests": 5, "errors": 0, "load_1min": 0.0}
    return [
        Loop(service=name, round=i, qps=value, latency=Percentiles(1.0, 2.0, 3.0), **about)
        for name, values in qps.items()
        for i, value in enumerate(values)
    ]


def test_summaries_take_the_ratio_of_each_round() -> None:
    rows = loops(
        {
            "framesift": (100.0, 50.0, 90.0),
            "eager-fastapi": (10.0, 10.0, 10.0),
            "hf-faiss-fastapi": (50.0, 25.0, 60.0),
        }
    )
    first = summaries(rows)[0]
    assert first.service == "framesift"
    assert (first.qps, first.ratio_qps_eager, first.ratio_qps_hf) == (90.0, 9.0, 2.0)
    assert first.requests == 15
    assert first.latency == Percentiles(1.0, 2.0, 3.0)
    assert "framesift" in table(summaries(rows))
    alone = summaries([row for row in rows if row.service == "framesift"])[0]
    assert alone.ratio_qps_eager is None


def test_a_loop_without_an_answer_has_no_latency() -> None:
    rows = [replace(row, latency=Percentiles()) for row in loops({"framesift": (0.0,)})]
    (found,) = summaries(rows)
    assert found.latency == Percentiles()
    assert "framesift" in table([found])


def test_the_command_names_the_services(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    parameter = next(p for p in against_command.params if p.name == "services")
    assert parameter.default == ",".join(SERVICES)
    for wrong in (["--services", "vllm"], ["--concurrency", "1,x"], ["--concurrency", "0"]):
        result = CliRunner().invoke(against_command, wrong)
        assert result.exit_code == 2, result.output
    missing = CliRunner().invoke(against_command, ["no-such-bundle", "--services", "framesift"])
    assert missing.exit_code == 1
    assert "is not a bundle" in str(missing.exception)


def test_hugging_faces_names_lead_back() -> None:
    sizes = ClipConfig(
        embed_dim=8, image_size=8, patch=4, vision_width=64, vision_layers=2, text_width=64, vocab_size=12
    )
    state = Clip(sizes).state_dict()
    renamed = to_hugging_face({k: v for k, v in state.items() if "pixel" not in k})
    assert not any("in_proj" in key or "resblocks" in key for key in renamed)
    back = to_openai({f"clip.{key}": value for key, value in renamed.items()})
    assert back.keys() == {f"clip.{key}" for key in state}
    for key, value in state.items():
        torch.testing.assert_close(back[f"clip.{key}"], value, rtol=0, atol=0)
    with pytest.raises(KeyError, match="no tensor of CLIP"):
        to_hugging_face({"pool_frames.linear_proj.weight": torch.zeros(1)})
