"""The comparison of servers: equal material, equal results, and what is made of the measured loops."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from framesift.bench.baselines.against import summaries, table
from framesift.bench.baselines.commands import against_command
from framesift.bench.baselines.driver import Measured, Target, closed_loop
from framesift.bench.baselines.engines import Engines
from framesift.bench.baselines.grpc_service import listening
from framesift.bench.baselines.hugging_face_names import to_hugging_face
from framesift.bench.baselines.material import Material, prepare
from framesift.bench.baselines.services import SERVICES
from framesift.export.bundle.ports import FRAME_EMBEDDINGS
from framesift.export.bundle.store import Bundle
from framesift.export.encoders.clip import Clip, ClipConfig
from framesift.export.systems.state_dict_keys import to_openai
from framesift.serving.client.aio import AsyncClient
from framesift.serving.gallery.store import Gallery
from framesift.serving.ranking_parity import TIE

from .results import equal_results

VIDEOS = 70


@pytest.fixture(scope="module")
def material(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Material:
    root = tmp_path_factory.mktemp("against") / "material"
    return prepare(bundle, VIDEOS, root, random=True, report=lambda _: None)


def test_material_is_made_once(material: Material, bundle: Bundle) -> None:
    again = prepare(bundle, VIDEOS, material.root, random=True, report=pytest.fail)
    np.testing.assert_array_equal(again.videos[FRAME_EMBEDDINGS], material.videos[FRAME_EMBEDDINGS])
    other = prepare(bundle, VIDEOS + 1, material.root.with_name("other"), random=True, report=lambda _: None)
    assert len(other) == VIDEOS + 1
    assert len(set(material.queries)) == len(material.queries) == 2000


def test_the_gallery_holds_the_embeddings(material: Material) -> None:
    """What float16 keeps is what the formula reads, so that results can be equal."""
    with Gallery.open(material.gallery, material.bundle.manifest, create=False) as gallery:
        assert gallery.count == VIDEOS
    view = Engines(material).view
    assert view.ids[:VIDEOS] == material.ids
    stored = view.tensors["frame_vectors"][:VIDEOS, 0].astype(np.float32)
    frames = material.videos[FRAME_EMBEDDINGS].numpy()
    assert np.abs(stored - frames).max() < 2e-3
    assert (stored == frames).mean() > 0.95
    np.testing.assert_allclose(np.linalg.norm(material.means, axis=1), 1, atol=1e-5)


def test_engines_give_the_published_formulas_results(material: Material) -> None:
    equal_results(material, TIE)


def test_the_plain_grpc_server_answers_framesifts_client(material: Material) -> None:
    engines, queries = Engines(material), material.queries[:20]

    async def ask() -> tuple[list[str], Measured, Measured]:
        async with listening(engines, 0) as address:
            async with AsyncClient(address) as client:
                assert await client.ready()
                hits = (await client.search(queries[0], top=3)).hits
            loop = await closed_loop(Target("client", address), queries, 3, 0.2)
            refused = await closed_loop(Target("client", address), ["   ", queries[0]], 1, 0.05)
            return [hit.id for hit in hits], loop, refused

    found, loop, refused = asyncio.run(ask())
    assert found == engines.ids(engines.search(queries[:1], 3)[0])
    assert loop.errors == 0
    assert len(loop.latencies) > 3
    assert loop.seconds >= 0.2
    # Each client has one request under way at any time.
    assert sum(loop.latencies) <= 3 * loop.seconds
    assert refused.errors
    assert refused.row()["errors"] == refused.errors


def test_summaries_take_the_ratio_of_each_round() -> None:
    qps = {
        "framesift": (100.0, 50.0, 90.0),
        "eager-fastapi": (10.0, 10.0, 10.0),
        "hf-faiss-fastapi": (50.0, 25.0, 60.0),
    }
    rows = [
        {"service": name, "concurrency": 8, "round": i, "qps": value, "p50_ms": 1.0, "requests": 5, "errors": 0}
        for name, values in qps.items()
        for i, value in enumerate(values)
    ]
    first = summaries(rows)[0]
    assert first["service"] == "framesift"
    assert (first["qps"], first["ratio_qps_eager"], first["ratio_qps_hf"]) == (90.0, 9.0, 2.0)
    assert first["requests"] == 15
    assert "framesift" in table(summaries(rows))
    alone = summaries([row for row in rows if row["service"] == "framesift"])[0]
    assert "ratio_qps_eager" not in alone


def test_a_loop_without_an_answer_has_no_latency() -> None:
    assert Measured([], 1.0, 4).row() == {"qps": 0.0, "requests": 0, "errors": 4}
    row = Measured([0.001 * n for n in range(1, 101)], 10.0, 0).row()
    assert (row["qps"], row["p50_ms"]) == (10.0, 50.5)


def test_the_command_names_the_services() -> None:
    parameter = next(p for p in against_command.params if p.name == "services")
    assert parameter.default == ",".join(SERVICES)
    for wrong in (["--services", "vllm"], ["--concurrency", "1,x"], ["--concurrency", "0"]):
        result = CliRunner().invoke(against_command, wrong)
        assert result.exit_code == 2, result.output
    missing = CliRunner().invoke(against_command, [str(Path("no-such-bundle")), "--services", "framesift"])
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
