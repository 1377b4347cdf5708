"""Shapes that engines are built for: of every published system, and what the server will send."""

from __future__ import annotations

from dataclasses import replace

import pytest

from framesift.bench.inputs.graphs_bundle import described
from framesift.export.bundle.engines.profiles import (
    EngineLimits,
    Range,
    check_shapes,
    default_limits,
    profile,
    scorer_profiles,
)
from framesift.export.bundle.errors import EngineError, InvalidRequest
from framesift.export.bundle.manifest import Manifest
from framesift.export.bundle.models import TEXT_BATCH, VIDEO_BATCH
from framesift.export.bundle.ports import GRAPHS, SCORER, TEXT_ENCODER, VIDEO_ENCODER
from framesift.export.bundle.scorers import max_pairs
from framesift.export.bundle.spec import GraphPorts, TensorSpec
from framesift.export.systems.examples import FRAMES as F
from framesift.export.systems.examples import MAX_TOKENS as W
from framesift.export.systems.examples import examples, small_system
from framesift.serving.repository.plan import plan
from framesift.serving.repository.served import Model


@pytest.fixture(scope="module", params=examples())
def manifest(request: pytest.FixtureRequest) -> Manifest:
    return described(small_system(request.param))


def test_every_input_has_a_range_within_its_port(manifest: Manifest) -> None:
    limits = default_limits(manifest)
    for graph in GRAPHS:
        ranges = profile(graph, manifest, limits)
        ports = manifest.graphs[graph].inputs
        assert list(ranges) == [port.name for port in ports]
        for port in ports:
            span = ranges[port.name]
            for dim, low, usual, high in zip(port.dims, span.min, span.opt, span.max, strict=True):
                if isinstance(dim, int):
                    assert low == usual == high == dim
                else:
                    assert 1 == low <= usual <= high
                    # What scores a whole gallery pair by pair takes one text a call.
                    assert high > 1 or (dim, limits.queries) == ("queries", 1)


def test_engines_take_what_the_server_sends(manifest: Manifest) -> None:
    limits = default_limits(manifest)
    served = {each.name: each for each in plan(manifest) if isinstance(each, Model)}
    for graph, batch in ((VIDEO_ENCODER, VIDEO_BATCH), (TEXT_ENCODER, TEXT_BATCH)):
        assert served[graph].max_batch == batch
        assert {span.max[0] for span in profile(graph, manifest, limits).values()} == {batch}
    # A box of shapes: its largest corner must be a call that the scorer may get.
    assert limits.queries * limits.videos <= max_pairs(manifest)


def test_a_scorers_profiles_hold_every_call_that_is_served_and_little_more() -> None:
    manifest = described(small_system("dong2026 none"))
    pairs = max_pairs(manifest)
    profiles = scorer_profiles(manifest, pairs)
    assert len(profiles) == 7
    for texts in (1, 2, 3, 5, 8, 9, 33, TEXT_BATCH):
        for videos in (1, 2, pairs // texts // 2 + 1, pairs // texts):
            shapes = {
                port.name: [{"queries": texts, "videos": videos}.get(str(dim), dim) for dim in port.dims]
                for port in manifest.graphs[SCORER].inputs
            }
            fits = 0
            for ranges in profiles:
                try:
                    check_shapes(SCORER, ranges, shapes)  # type: ignore[arg-type]
                except InvalidRequest:
                    continue
                fits += 1
            assert fits == 1
    for ranges in profiles:
        largest = [span.max[0] for span in ranges.values()]
        assert min(largest) * max(largest) <= 2 * pairs
        for span in ranges.values():
            assert all(low <= usual <= high for low, usual, high in zip(span.min, span.opt, span.max, strict=True))


def test_texts_have_every_length_unless_the_tower_reads_them_whole(manifest: Manifest) -> None:
    (name,) = [port.name for port in manifest.graphs[TEXT_ENCODER].inputs]
    span = profile(TEXT_ENCODER, manifest, EngineLimits(text_batch=7))[name]
    longest = manifest.tokenizer.context_length
    whole = manifest.graphs[TEXT_ENCODER].inputs[0].dims[1] == longest
    assert span == (Range((1, W), (1, W), (7, W)) if whole else Range((1, 1), (1, 16), (7, longest)))


def test_a_cross_encoder_gets_its_short_list() -> None:
    manifest = described(small_system("clip4clip tightTransf"))
    assert default_limits(manifest) == EngineLimits(queries=4, videos=100)
    assert default_limits(replace(manifest, options={"shortlist": 7})).videos == 7
    ranges = profile(SCORER, manifest, EngineLimits(queries=3, videos=11))
    assert {span.max[0] for span in ranges.values()} == {3, 11}


def test_what_cannot_be_bounded_is_an_error() -> None:
    manifest = described(small_system("clip4clip meanP"))
    odd = GraphPorts((TensorSpec("x", "float32", ("batch", "patches")),), ())
    with pytest.raises(EngineError, match="video_encoder: nothing bounds the dimension patches of x"):
        profile(VIDEO_ENCODER, replace(manifest, graphs={**manifest.graphs, VIDEO_ENCODER: odd}), EngineLimits())
    with pytest.raises(EngineError, match="videos must be at least 1, not 0"):
        EngineLimits(videos=0)


def test_shapes_are_checked_with_the_range_in_the_message() -> None:
    ranges = {"a": Range((1, F), (2, F), (4, F)), "b": Range((1,), (1,), (9,))}
    check_shapes("scorer", ranges, {"b": [9], "a": (1, F)})
    with pytest.raises(InvalidRequest, match=r"scorer: a has shape \[5, 5\], its engine takes \[1, 5\] to \[4, 5\]"):
        check_shapes("scorer", ranges, {"a": (5, F), "b": (1,)})
    with pytest.raises(InvalidRequest, match="scorer takes a, b, got nothing"):
        check_shapes("scorer", ranges, {})
