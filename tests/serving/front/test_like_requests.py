"""Searches by a video at the door: who may ask what of which model, and what a model that has none of it answers."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import numpy as np
import pytest

from framesift.export.bundle.errors import AccessDenied, InvalidRequest, InvalidVideo
from framesift.export.bundle.like import text_fault, video_fault
from framesift.export.bundle.limits import MAX_VIDEO_BYTES
from framesift.export.bundle.manifest import Manifest, TokenizerProfile
from framesift.export.bundle.models import LIKE_SEARCHES
from framesift.export.bundle.ports import CANDIDATES, LIKE_ENCODER, OPTIONS, TOP
from framesift.export.bundle.spec import GraphPorts
from framesift.export.bundle.text.merges_file import clip_merges
from framesift.export.bundle.text.tokenizers import load_tokenizer
from framesift.serving.front.arena import Arena
from framesift.serving.front.deployment import public_models
from framesift.serving.front.forwarding import encoded
from framesift.serving.front.jobs import Job, Jobs
from framesift.serving.front.likes import like_kind, refused
from framesift.serving.front.record import Record
from framesift.serving.front.requests import read_request
from framesift.serving.front.texts import Encoder
from framesift.serving.front.tokens import INDEX, SEARCH, Caller
from framesift.serving.front.upstream import Tensor
from framesift.serving.repository.render import reference_manifest

from ..toy_ports import toy_manifest, whole_pairs
from .requests_of import request, search

REFERENCE = reference_manifest()
PUBLIC = public_models(REFERENCE)
VIDEO = np.zeros((1, 40), np.uint8)
ASKED = {"top": np.array([[5]], np.int32)}


def jobs(manifest: Manifest) -> Jobs:
    return Jobs(public_models(manifest), Arena.__new__(Arena), refused(manifest))


def with_graph(scorer: str) -> Manifest:
    made = toy_manifest(3, 32, 8, scorer=scorer, attends=False)
    video, text = (made.graphs[name].outputs for name in ("video_encoder", "text_encoder"))
    return replace(made, graphs={**made.graphs, LIKE_ENCODER: GraphPorts(video[:1], text)})


@pytest.mark.parametrize("name", LIKE_SEARCHES)
def test_a_model_that_reads_pairs_refuses_and_names_those_that_do_not(name: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        jobs(whole_pairs()).public(name)
    told = str(refusal.value)
    assert "reads every text and video together" in told
    assert all(system in told for system in ("clip4clip", "dong2026", "xclip", "mmt"))
    assert like_kind(whole_pairs()) == ""


def test_what_no_mean_exists_of_is_refused_beside_a_text_alone() -> None:
    manifest = with_graph("token_frame")
    assert (video_fault(manifest), like_kind(manifest)) == ("", "alone")
    for name in LIKE_SEARCHES:
        if name.endswith("_text"):
            with pytest.raises(InvalidRequest, match="dot, frame_softmax, topk_attention take both"):
                jobs(manifest).public(name)
        else:
            assert jobs(manifest).public(name).name == name
    assert text_fault(with_graph("dot")) == text_fault(REFERENCE) == ""


def test_a_bundle_without_the_graph_is_to_be_exported_again() -> None:
    with pytest.raises(InvalidRequest, match="export the model again"):
        jobs(toy_manifest(3, 32, 8)).public("search_like")


def test_the_role_of_a_search_is_enough_and_that_of_indexing_is_not() -> None:
    reader, writer = Caller("reader", frozenset({SEARCH})), Caller("writer", frozenset({INDEX}))
    for name in LIKE_SEARCHES:
        assert jobs(REFERENCE).allowed(name, "", reader).name == name
        with pytest.raises(AccessDenied):
            jobs(REFERENCE).allowed(name, "", writer)


def test_parameters_are_those_of_the_search() -> None:
    named = request("search_like", ASKED)
    named.parameters["like"].string_param = "one"
    named.parameters["where"].string_param = "duration < 3"
    asked = read_request(named, PUBLIC["search_like"])
    assert json.loads(asked.options) == {"like": "one", "where": "duration < 3"}
    for model, name in (
        ("search", "like"),
        ("search_like", "weight"),
        ("search_video", "include"),
        ("search_video", "segment"),
    ):
        made = request(model, {**(search((b"a",)) if model == "search" else ASKED)})
        made.parameters[name].bool_param = True
        with pytest.raises(InvalidRequest, match=f"no parameter '{name}'"):
            read_request(made, PUBLIC[model])
    named.parameters["segment"].int64_param = 3
    assert json.loads(read_request(named, PUBLIC["search_like"]).options)["segment"] == 3
    for wrong, why in ((4096, "from 0"), (0, "of the id in like")):
        made = request("search_like", ASKED)
        made.parameters["segment"].int64_param = wrong
        if wrong:
            made.parameters["like"].string_param = "one"
        with pytest.raises(InvalidRequest, match=why):
            read_request(made, PUBLIC["search_like"])
    for value, why in (("", None), ("a" * 2000, "id"), ("a\nb", "id")):
        made = request("search_like", ASKED)
        made.parameters["like"].string_param = value
        if why is not None:
            with pytest.raises(InvalidRequest, match=why):
                read_request(made, PUBLIC["search_like"])


def test_a_film_has_its_limit() -> None:
    made = request("search_video", {**ASKED, "video": VIDEO})
    assert read_request(made, PUBLIC["search_video"]).shape("video") == (1, 40)
    next(tensor for tensor in made.inputs if tensor.name == "video").shape[1] = MAX_VIDEO_BYTES + 1
    with pytest.raises(InvalidVideo, match="the limit is"):
        read_request(made, PUBLIC["search_video"])


def test_what_goes_upstream_is_whole() -> None:
    encoder = Encoder(load_tokenizer(TokenizerProfile(files=(clip_merges().name,)), clip_merges().parent))
    arrays = {**search((b"a red circle",)), "video": VIDEO}
    made = request("search_video_text", arrays)
    asked = read_request(made, PUBLIC["search_video_text"])
    raws = {name: array.tobytes() for name, array in arrays.items()}
    tensors = [Tensor(found.name, found.datatype, found.shape, raws[found.name]) for found in asked.inputs]
    job = Job(PUBLIC["search_video_text"], asked, tensors)
    sent, cut, _ = asyncio.run(encoded(job, encoder, Record("ModelInfer")))
    named = {tensor.name: tensor for tensor in sent}
    assert set(named) == {"like_token_ids", TOP, CANDIDATES, "candidate_lengths", OPTIONS, "video"}
    assert (named[OPTIONS].raw, named["like_token_ids"].shape[0], cut) == (b"{}", 1, [])
