"""Who may make which call: everything that the door answers, with every kind of token, and by ways around it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

import grpc
import pytest
from tritonclient.grpc import service_pb2 as pb

from framesift.export.bundle.store import Bundle
from framesift.serving.front.behind import Behind
from framesift.serving.front.deployment import public_models
from framesift.serving.front.roles import CALLS, MODELS
from framesift.serving.front.service import SERVICE
from framesift.serving.front.tokens import new_token
from framesift.serving.front.v1.openapi import description
from framesift.serving.repository.plan import plan
from framesift.serving.server.door import Reach

from ...attacks.raw_http import exchange
from .alone import standing
from .asked_over_http import ask
from .requests_of import framed

NONE, WRONG, SEARCH, INDEX, ADMIN = SHOWN = ("none", "wrong", "search", "index", "admin")
EVERYBODY, KNOWN = frozenset(SHOWN), frozenset({SEARCH, INDEX, ADMIN})
SEARCHERS, INDEXERS, ADMINS = frozenset({SEARCH, ADMIN}), frozenset({INDEX, ADMIN}), frozenset({ADMIN})
HEALTH = "/grpc.health.v1.Health/"

# By gRPC's path: who is let in.
METHODS = {
    f"{HEALTH}Check": EVERYBODY,
    f"{SERVICE}ServerLive": EVERYBODY,
    f"{SERVICE}ServerReady": EVERYBODY,
    f"{SERVICE}ServerMetadata": KNOWN,
    f"{SERVICE}ModelReady": KNOWN,
    f"{SERVICE}ModelMetadata": KNOWN,
    f"{SERVICE}ModelConfig": KNOWN,
    f"{SERVICE}ModelStatistics": KNOWN,
    f"{SERVICE}ModelInfer": KNOWN,
    f"{SERVICE}ModelStreamInfer": KNOWN,
}
# By model, over gRPC and over HTTP.
INFERENCE = {
    "search": SEARCHERS,
    "search_like": SEARCHERS,
    "search_like_text": SEARCHERS,
    "search_video": SEARCHERS,
    "search_video_text": SEARCHERS,
    "score_text": SEARCHERS,
    "gallery_lookup": KNOWN,
    "gallery_list": KNOWN,
    "gallery_edit": INDEXERS,
    "index_video": INDEXERS,
    "encode_video": INDEXERS,
    "encode_frames": INDEXERS,
}


class Call(NamedTuple):
    """A request over HTTP, and who is let in."""

    name: str
    method: str
    path: str
    who: frozenset[str]
    body: bytes | None = None


STATIC = [f"/static/{file.name}" for file in (files("framesift.serving.front.page") / "static").iterdir()]
CALLED = (
    *(Call("", method, f"/v2/health/{what}", EVERYBODY) for what in ("live", "ready") for method in ("GET", "HEAD")),
    Call("metrics", "GET", "/metrics", KNOWN),
    Call("metrics", "HEAD", "/metrics", KNOWN),
    Call("ServerMetadata", "GET", "/v2", KNOWN),
    Call("ModelMetadata", "GET", "/v2/models/search", KNOWN),
    Call("ModelMetadata", "GET", "/v2/models/search/versions/1", KNOWN),
    Call("ModelReady", "GET", "/v2/models/search/ready", KNOWN),
    Call("ModelReady", "GET", "/v2/models/search/versions/1/ready", KNOWN),
    Call("ModelConfig", "GET", "/v2/models/index_video/config", KNOWN),
    Call("ModelStatistics", "GET", "/v2/models/search/stats", KNOWN),
    Call("ModelStatistics", "GET", "/v2/models/stats", KNOWN),
    Call("describe", "GET", "/v1/openapi.json", EVERYBODY),
    Call("search", "POST", "/v1/search", SEARCHERS, b"{}"),
    Call("search", "POST", "/v1/search", SEARCHERS, b'{"like": "a"}'),
    Call("getGallery", "GET", "/v1/gallery", KNOWN),
    Call("listVideos", "GET", "/v1/videos?top=5", KNOWN),
    Call("indexVideo", "POST", "/v1/videos?id=a", INDEXERS, b""),
    Call("indexVideo", "POST", "/v1/videos?id=a&segment_seconds=2", INDEXERS, b"no video"),
    Call("getVideo", "GET", "/v1/video?id=a", KNOWN),
    Call("updateVideo", "PATCH", "/v1/video?id=a", INDEXERS, b"{}"),
    Call("deleteVideo", "DELETE", "/v1/video?id=a", INDEXERS),
    Call("getVideoFile", "GET", "/v1/video/file?id=a", SEARCHERS),
    Call("getVideoFile", "HEAD", "/v1/video/file?id=a", SEARCHERS),
    Call("listModels", "GET", "/v1/models", KNOWN),
    Call("moveAlias", "PUT", "/v1/models", ADMINS, b"{}"),
    Call("session", "DELETE", "/session", EVERYBODY),
    *(Call("page", "GET", path, EVERYBODY) for path in ("/", *STATIC)),
    # What there is not is told to those who are known.
    Call("unknown", "GET", "/v1/nothing", KNOWN),
    Call("unknown", "POST", "/v1/gallery", KNOWN, b"{}"),
    Call("unknown", "GET", "/v2/repository/index", KNOWN),
    Call("unknown", "POST", "/v2/repository/models/search/load", KNOWN, b"{}"),
    Call("unknown", "GET", "/v2/systemsharedmemory/status", KNOWN),
    Call("unknown", "GET", "/v2/logging", KNOWN),
)


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    path = tmp_path_factory.mktemp("tokens") / "tokens"
    made = {role: new_token(path, f"the-{role}", [role]) for role in (SEARCH, INDEX, ADMIN)}
    return {**made, WRONG: "fs_guessed", "file": str(path)}


@pytest.fixture(scope="module")
def door(bundle: Bundle, tokens: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A door of two bundles with a page, behind which nobody answers: who is let in is told that."""
    away = tmp_path_factory.mktemp("away")
    behind = Behind("other", bundle.root, away / "triton", away / "metrics", away, away / "gallery")
    reach = Reach(tokens=Path(tokens["file"]), page=True, videos=away, alias="first", beside=[behind])
    with standing(bundle.root, tmp_path_factory.mktemp("run"), reach) as (address, _):
        yield address


def headers(tokens: dict[str, str], shown: str) -> dict[str, str]:
    return {} if shown == NONE else {"authorization": f"Bearer {tokens[shown]}"}


def outcome(status: int) -> str:
    return {401: "stranger", 403: "role"}.get(status, "in")


def wanted(who: frozenset[str], shown: str) -> str:
    return "in" if shown in who else "stranger" if shown in (NONE, WRONG) else "role"


def over_grpc(channel: grpc.Channel, path: str, message: bytes, metadata: dict[str, str]) -> str:
    """How a call ends: whether its caller is a stranger, lacks the role, or is let in."""
    stream = path.endswith("ModelStreamInfer")
    kind = channel.stream_stream if stream else channel.unary_unary
    try:
        sent = iter((message,)) if stream else message
        answer = kind(path)(sent, metadata=list(metadata.items()), timeout=60)
        told = [pb.ModelStreamInferResponse.FromString(each).error_message for each in answer] if stream else [""]
    except grpc.RpcError as error:
        return {"UNAUTHENTICATED": "stranger", "PERMISSION_DENIED": "role"}.get(error.code().name, "in")
    return "role" if any("may not call" in each for each in told) else "in"


def test_the_table_has_everything_that_the_door_answers(bundle: Bundle) -> None:
    methods = {path.rpartition("/")[2] for path in METHODS}
    assert set(CALLS) == methods | {call.name for call in CALLED} - {""}
    assert set(MODELS) == set(INFERENCE)
    assert set(public_models(bundle.manifest)) <= set(INFERENCE)
    described = {(method.upper(), path) for path, own in description("1")["paths"].items() for method in own}
    assert described <= {(call.method, call.path.partition("?")[0]) for call in CALLED}


def test_every_method_lets_in_whom_it_may(door: str, tokens: dict[str, str]) -> None:
    kserve = pb.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods
    paths = {f"{SERVICE}{method.name}" for method in kserve} | {f"{HEALTH}Watch", *METHODS}
    assert len(paths) > len(METHODS)
    with grpc.insecure_channel(door) as channel:
        for path in sorted(paths):
            for shown in SHOWN:
                found = over_grpc(channel, path, b"", headers(tokens, shown))
                assert found == wanted(METHODS.get(path, KNOWN), shown), (path, shown)


def test_every_model_lets_in_whom_it_may_whichever_bundle_answers(
    door: str, tokens: dict[str, str], bundle: Bundle
) -> None:
    steps = {served.name for served in plan(bundle.manifest)} - set(INFERENCE)
    there = [*public_models(bundle.manifest), *sorted(steps)]
    with grpc.insecure_channel(door) as channel:
        for model in there:
            message = pb.ModelInferRequest(model_name=model).SerializeToString()
            for shown in SHOWN:
                who = wanted(INFERENCE.get(model, KNOWN), shown)
                for alias in ("first", "other"):
                    metadata = {**headers(tokens, shown), "framesift-model": alias}
                    for method in ("ModelInfer", "ModelStreamInfer"):
                        found = over_grpc(channel, f"{SERVICE}{method}", message, metadata)
                        assert found == who, (model, shown, method)
                    for version in ("", "/versions/1"):
                        path = f"/v2/models/{model}{version}/infer?model={alias}"
                        answer = ask(door, path, {"inputs": []}, **headers(tokens, shown))
                        assert outcome(answer.status) == who, (path, shown)


@pytest.mark.parametrize("alias", ["", "first", "other"])
def test_every_path_lets_in_whom_it_may(alias: str, door: str, tokens: dict[str, str]) -> None:
    for call in CALLED:
        path = call.path if not alias else f"{call.path}{'&' if '?' in call.path else '?'}model={alias}"
        for shown in SHOWN:
            answer = ask(door, path, call.body, call.method, **headers(tokens, shown))
            assert outcome(answer.status) == wanted(call.who, shown), (call, shown, answer)
            # Nobody stands behind this door, so nothing was done.
            assert call.who == EVERYBODY or answer.status != 500


def test_a_session_is_of_a_token_that_is_known(door: str, tokens: dict[str, str]) -> None:
    for shown, status in ((WRONG, 401), (SEARCH, 204), (INDEX, 204), (ADMIN, 204)):
        answer = ask(door, "/session", {"token": tokens[shown]})
        assert answer.status == status
        if status == 204:
            cookie = answer.headers["set-cookie"].partition(";")[0]
            for call in CALLED:
                # Metrics and KServe are for programs, and take no cookie.
                if call.path.startswith("/v1/"):
                    found = ask(door, call.path, call.body, call.method, cookie=cookie)
                    assert outcome(found.status) == wanted(call.who, shown), (call, shown)
                elif call.who != EVERYBODY:
                    assert ask(door, call.path, call.body, call.method, cookie=cookie).status == 401


AROUND = (
    *("//v1/models", "/v1//models", "/v1/models/", "/V1/models", "/v1/Models", "/v1/models;a", "/v1/./models"),
    *("/v1/../v1/models", "/v1/x/../models", "/v1/%6dodels", "/v1/models%2f", "/v1%2fmodels", "/v1\\models"),
    *("/v1/models/?x", "/v1/models//", "/./v1/models", "http://other/v1/models", "/v1/models%00", "/v2/../v1/models"),
)
MOVE = json.dumps({"alias": "first", "model": "other"}).encode()


@pytest.mark.parametrize("shown", [NONE, SEARCH, INDEX])
def test_no_other_spelling_of_a_path_does_more(shown: str, door: str, tokens: dict[str, str]) -> None:
    for path in AROUND:
        answer = ask(door, path, MOVE, "PUT", **headers(tokens, shown))
        assert answer.status in (400, 401, 403, 404, 405), (path, answer)
    for name in ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"):
        for method in ("GET", "POST"):
            answer = ask(door, "/v1/models", MOVE, method, **headers(tokens, shown), **{name: "PUT"})
            assert b'"first": "other"' not in answer.body
            answer = ask(door, f"/v1/models?_method=PUT&{name}=PUT", MOVE, method, **headers(tokens, shown))
            assert b'"first": "other"' not in answer.body
    for path in ("//metrics", "/metrics/", "/METRICS", "/metrics;a", "/metrics/.", "/x/../metrics", "/%6detrics"):
        assert b"framesift_calls_total" not in ask(door, path, **headers(tokens, shown)).body
    # Neither in the query, nor by another scheme.
    for query in (f"token={tokens[ADMIN]}", f"authorization=Bearer%20{tokens[ADMIN]}"):
        assert ask(door, f"/metrics?{query}").status in (401, 403)
    for told in (f"Basic {tokens[ADMIN]}", tokens[ADMIN], f"Bearer{tokens[ADMIN]}", f"Bearer {tokens[ADMIN]}x"):
        assert ask(door, "/metrics", authorization=told).status == 401


def test_no_other_spelling_of_a_method_does_more(door: str, tokens: dict[str, str]) -> None:
    message = pb.ModelInferRequest(model_name="gallery_list").SerializeToString()
    open_, closed = f"{SERVICE}ServerLive", f"{SERVICE}ModelInfer"
    paths = (f"{closed}/", f"/{closed}", closed.lower(), f"{open_}/../ModelInfer", f"{open_}/ModelInfer", f"{closed};")
    with grpc.insecure_channel(door) as channel:
        for path in (*paths, "/x/ServerLive", "/ServerLive", f"{HEALTH}Check/", "/Check"):
            for shown in (NONE, WRONG):
                assert over_grpc(channel, path, message, headers(tokens, shown)) == "stranger", path
            assert over_grpc(channel, path, message, headers(tokens, SEARCH)) == "in"
    # What calls itself gRPC has gRPC's calls alone, and what does not has none of them.
    for kind in ("application/grpc", "application/grpc-web", "application/grpc+json"):
        for path, method in (("/metrics", "GET"), ("/v1/models", "PUT"), ("/v1/gallery", "GET")):
            answer = ask(door, path, framed(message), method, content_type=kind, te="trailers")
            assert b"framesift_calls_total" not in answer.body
            assert b"fingerprint" not in answer.body
    assert ask(door, closed, framed(message)).status in (401, 404, 405)


@pytest.mark.parametrize("upgrade", ["websocket", "h2c", "TLS/1.0"])
def test_no_connection_becomes_another(upgrade: str, door: str) -> None:
    more = (
        "Connection: Upgrade, HTTP2-Settings\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        "Sec-WebSocket-Version: 13\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"
    )
    for path in ("/v1/gallery", "/metrics", "/v2/models/search/infer"):
        sent = f"GET {path} HTTP/1.1\r\nHost: x\r\nUpgrade: {upgrade}\r\n{more}\r\n"
        answer = asyncio.run(exchange(door, sent.encode(), 5))
        assert answer.status in (None, 400, 401, 403, 404, 426), answer
    connected = asyncio.run(exchange(door, b"CONNECT 127.0.0.1:1 HTTP/1.1\r\nHost: x\r\n\r\n", 5))
    assert connected.status in (None, 400, 403, 404, 405), connected
