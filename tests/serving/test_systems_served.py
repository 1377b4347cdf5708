"""Every published system from its authors' kind of file to answers of a real Triton server."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from framesift.export.build import eager_system
from framesift.export.bundle.errors import InvalidRequest
from framesift.export.bundle.ports import MASK, NOISE
from framesift.export.bundle.store import Bundle
from framesift.export.bundle.video.decode import decode
from framesift.export.bundle.video.noise import selector_noise
from framesift.export.graphs import VideoEncoder
from framesift.export.systems.contract import System
from framesift.export.systems.examples import examples, small_system
from framesift.serving.client.sync import Client
from framesift.serving.ranking_parity import TIE, compare
from framesift.serving.serve import running

from ..small_systems import small_bundle
from .evaluated import check_evaluation, rule_of

pytestmark = [pytest.mark.server, pytest.mark.long, pytest.mark.timeout(600)]

# Of every system one model for each of its scorers; the usual tests serve the oddest, the others are served alike: one
# that ranks a short list again, and one with a mask, noise, and weights of frames.
USUAL = ("clip4clip tightTransf", "ts2net")
# Videos that come as features are in test_features_served.
MADE = {name: small_system(name) for name in examples()}
MODELS = {(made.name, made.scorer.name): name for name, made in MADE.items() if made.features is None}
# Those that tell how much a frame counted.
ATTENDING = ("dong2026", "xpool", "ts2net")
SYSTEMS = [pytest.param(name, marks=[] if name in USUAL else pytest.mark.slow) for name in MODELS.values()]
VIDEOS, QUERIES = 10, 11
# Longer than every text tower here reads: the tokenizer's cut and STAN's slice take part.
LONG = "a " * 40 + "circle"


@dataclass(frozen=True)
class Served:
    """A running server with ``VIDEOS`` videos, its client, and the eager system's scores [QUERIES, VIDEOS].

    ``likes`` [VIDEOS, VIDEOS] are its scores of videos that are searched with; None where none can be.
    """

    name: str
    bundle: Bundle
    client: Client
    ids: list[str]
    queries: list[str]
    scores: NDArray[Any]
    likes: NDArray[Any] | None


@pytest.fixture(scope="module", params=SYSTEMS)
def served(
    request: pytest.FixtureRequest, bundles: Path, clips: list, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    name, folder = request.param, tmp_path_factory.mktemp("served")
    bundle = small_bundle(name, bundles)
    chosen = clips[:VIDEOS]
    queries = [clip.captions[0] for clip in chosen] + [LONG]
    paths = {clip.video.name: clip.video for clip in chosen}
    with running(bundle, folder / "gallery") as server, Client(server.address) as client:
        for path in paths.values():
            last = client.index(path)
        client.wait_searchable(last)
        system, video = eager_records(bundle, paths, client)
        scores, likes = scored(bundle, system, video, queries), liked(system, video)
        yield Served(name, bundle, client, list(paths), queries, scores, likes)


@torch.no_grad()
def eager_records(
    bundle: Bundle, paths: dict[str, Path], client: Client | None = None
) -> tuple[System, tuple[Tensor, ...]]:
    """The system in float64, and its records rounded as the gallery stores them.

    Which of two float16 values a number becomes hangs on its last bits. With a client its server's own records are
    rounded, once they are known to be the eager ones.
    """
    system, profile = eager_system(bundle).double(), bundle.manifest.frames
    system = system.folded()
    records = [encode(system, path, name, profile) for name, path in paths.items()]
    if client is not None:
        records = [encoded(client, *each, system) for each in zip(records, paths.items(), strict=True)]
    video = tuple(
        torch.cat(parts).to(getattr(torch, tensor.stored)).double()
        for parts, tensor in zip(zip(*records, strict=True), system.video_record, strict=True)
    )
    return system, video


def eager_scores(bundle: Bundle, paths: dict[str, Path], queries: list[str]) -> NDArray[Any]:
    """Scores in float64 of such records."""
    return scored(bundle, *eager_records(bundle, paths), queries)


@torch.no_grad()
def scored(bundle: Bundle, system: System, video: tuple[Tensor, ...], queries: list[str]) -> NDArray[Any]:
    text = system.encode_text(torch.from_numpy(bundle.tokenizer().encode(queries)))
    kept = [x for x, t in zip(text, system.text_record, strict=True) if t.scored]
    scores: NDArray[Any] = system.score(kept, video).numpy()
    return scores


@torch.no_grad()
def liked(system: System, video: tuple[Tensor, ...]) -> NDArray[Any] | None:
    if not system.like_inputs:
        return None
    named = dict(zip((tensor.name for tensor in system.video_record), video, strict=True))
    scores: NDArray[Any] = system.score(
        system.encode_like(*(named[tensor.name] for tensor in system.like_inputs)), video
    ).numpy()
    return scores


def encoded(client: Client, eager: tuple[Tensor, ...], named: tuple[str, Path], system: System) -> tuple[Tensor, ...]:
    name, path = named
    served = client.encode_video(path, id=name).tensors
    for tensor, wanted in zip(system.video_record, eager, strict=True):
        np.testing.assert_allclose(served[tensor.name], wanted[0], atol=1e-4 * float(wanted.abs().max()))
    return tuple(torch.from_numpy(served[tensor.name])[None] for tensor in system.video_record)


def encode(system: System, path: Path, name: str, profile: Any) -> tuple[Tensor, ...]:
    clip = decode(path, profile)
    frames = torch.from_numpy(clip.frames)[None]
    inputs = [frames.double() if frames.is_floating_point() else frames]
    for port in system.video_inputs[1:]:
        given = {MASK: clip.mask, NOISE: None}[port.name]
        more = selector_noise(name, port.dims) if given is None else given
        inputs.append(torch.from_numpy(more)[None].double())
    record: tuple[Tensor, ...] = VideoEncoder(system)(*inputs)
    return record


def test_every_ranking_is_the_eager_systems(served: Served) -> None:
    found = served.client.search_many(served.queries, top=VIDEOS)
    scale = np.abs(served.scores).max()
    parity = compare(
        [[hit.id for hit in result.hits] for result in found],
        [np.array([hit.score for hit in result.hits]) / scale for result in found],
        served.ids,
        served.scores / scale,
    )
    assert (parity.equal, parity.off, parity.scores) == (QUERIES, 0, QUERIES * VIDEOS)
    # Were all videos alike, any order would do.
    gaps = np.diff(np.sort(served.scores / scale, axis=1), axis=1)
    assert (gaps > TIE).mean() > 0.5


def test_the_manifest_says_what_is_served(served: Served) -> None:
    system = served.bundle.manifest.system
    assert system == small_system(served.name).name
    attends = system in ATTENDING
    hit = served.client.search(served.queries[0], top=1).hits[0]
    assert len(hit.timestamps) == served.bundle.manifest.frame_count
    assert (hit.moment in hit.timestamps) if attends else (hit.moment is None and hit.attention == ())
    if attends:
        assert sum(hit.attention) == pytest.approx(1, abs=1e-5)


def test_evaluate_counts_as_the_authors_do(served: Served, tmp_path: Path) -> None:
    manifest = served.bundle.manifest
    rule = rule_of(manifest.system, manifest.scorer)
    check_evaluation(served.client, rule, served.ids, served.queries[:VIDEOS], served.scores[:VIDEOS], tmp_path)


def test_encoding_and_scoring_without_the_gallery(served: Served, clips: list) -> None:
    records = [served.client.encode_video(clip.video) for clip in clips[:3]]
    scores = served.client.score(served.queries, records)
    scale = np.abs(served.scores).max()
    # The gallery's scores come from float16.
    np.testing.assert_allclose(scores.scores / scale, served.scores[:, :3] / scale, atol=5e-3)
    assert (scores.attention is not None) == (served.bundle.manifest.system in ATTENDING)


def test_a_video_is_searched_with_as_the_eager_system_does(served: Served) -> None:
    if served.likes is None:
        for text in (None, "a red circle"):
            with pytest.raises(InvalidRequest, match="reads every text and video together"):
                served.client.search(text, like=served.ids[0])
        return
    found = [served.client.search(like=id_, top=VIDEOS, include=True) for id_ in served.ids]
    scale = np.abs(served.likes).max()
    parity = compare(
        [[hit.id for hit in result.hits] for result in found],
        [np.array([hit.score for hit in result.hits]) / scale for result in found],
        served.ids,
        served.likes / scale,
    )
    assert (parity.equal, parity.off) == (VIDEOS, 0)
    others = served.client.search(like=served.ids[0], top=VIDEOS)
    assert [hit.id for hit in others.hits] == [hit.id for hit in found[0].hits if hit.id != served.ids[0]]
    if served.bundle.manifest.scorer in ("multi_grained", "token_frame"):
        with pytest.raises(InvalidRequest, match="one by one"):
            served.client.search("a red circle", like=served.ids[0])
