"""HTTP and JSON: what gRPC finds and keeps, told as the description says; errors as problem details."""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from jsonschema import Draft202012Validator

from framesift.export.bundle.errors import InvalidQuery, InvalidRequest
from framesift.serving.client.sync import Client
from framesift.serving.front.v1.openapi import description
from framesift.serving.front.v1.search import read_parameters, read_search

from .asked_over_http import Answer, ask, settle

DOCUMENT = description("1")
TEXT = "a red circle"


def check(answer: Answer, schema: str) -> Any:
    """The answer's value, which is as the description says."""
    named = {"$ref": f"#/components/schemas/{schema}", "components": DOCUMENT["components"]}
    Draft202012Validator(named).validate(answer.json)
    return answer.json


def test_the_description_is_valid() -> None:
    from openapi_spec_validator import validate

    validate(json.loads(json.dumps(DOCUMENT)))


@pytest.mark.server
def test_a_search_finds_what_grpc_finds(server, client: Client, indexed: list) -> None:
    texts = [TEXT, "a large blue square moves left"]
    began = time.monotonic()
    one = ask(server.address, "/v1/search", {"text": TEXT, "top": 5})
    both = ask(server.address, "/v1/search", {"texts": texts, "top": 5})
    candidates = [clip.video.name for clip in indexed[:3]]
    some = ask(server.address, "/v1/search", {"text": TEXT, "candidates": candidates})
    assert one.headers["content-type"] == "application/json"
    wanted = [result.to_dict() for result in client.search_many(texts, 5)]
    for answer, results in (
        (one, wanted[:1]),
        (both, wanted),
        (some, [client.search(TEXT, candidates=candidates).to_dict()]),
    ):
        told = check(answer, "SearchResponse")
        assert (answer.status, told["exact"]) == (200, True)
        assert 0 < told["seconds"] < time.monotonic() - began
        for found, expected in zip(told["results"], results, strict=True):
            assert [hit["id"] for hit in found["hits"]] == [hit["id"] for hit in expected["hits"]]
            assert found["hits"][0].keys() == expected["hits"][0].keys()
            for hit, other in zip(found["hits"], expected["hits"], strict=True):
                assert hit["score"] == pytest.approx(other["score"], abs=1e-6)
                assert hit["timestamps"] == other["timestamps"]
                assert hit["attention"] == pytest.approx(other["attention"], abs=1e-5)


def form(video: bytes, **fields: str) -> tuple[bytes, str]:
    parts = [f'form-data; name="{name}"\r\n\r\n{value}'.encode() for name, value in fields.items()]
    parts.append(b'form-data; name="video"; filename="C:\\films\\one.mp4"\r\nContent-Type: video/mp4\r\n\r\n' + video)
    body = b"".join(b"--edge\r\nContent-Disposition: " + part + b"\r\n" for part in parts) + b"--edge--\r\n"
    return body, "multipart/form-data; boundary=edge"


@pytest.mark.server
def test_a_video_is_put_into_the_gallery(server, client: Client, indexed: list) -> None:
    video = indexed[0].video.read_bytes()
    digest = hashlib.sha256(video).digest()
    metadata = json.dumps({"channel": "news"})
    query = f"id={quote('http/a b ü.mp4', safe='')}&metadata={quote(metadata)}"
    body, kind = form(video, id="http/form.mp4", metadata=metadata, source="somewhere")
    nameless, _ = form(video)
    answers = [
        ask(server.address, f"/v1/videos?{query}", video, Content_Type="application/octet-stream"),
        ask(server.address, "/v1/videos", body, Content_Type=kind),
        ask(server.address, "/v1/videos", nameless, Content_Type=kind),
        ask(server.address, "/v1/videos", video),
    ]
    told = [check(answer, "Indexed") for answer in answers]
    assert [answer.status for answer in answers] == [201] * 4
    assert [each["id"] for each in told] == ["http/a b ü.mp4", "http/form.mp4", "one.mp4", digest.hex()]
    assert {each["digest"] for each in told} == {digest.hex()}
    ids = [each["id"] for each in told]
    assert client.lookup(ids).digests == dict.fromkeys(ids, digest)
    assert [facts.metadata for facts in client.describe(ids)] == [{"channel": "news"}] * 2 + [{}] * 2
    assert client.describe(ids)[1].source == "somewhere"
    client.delete(ids)
    settle(client)
    about = check(ask(server.address, "/v1/gallery"), "Gallery")
    assert about["count"] == told[-1]["count"] - len(ids)
    assert about["fingerprint"] == client.served().fingerprint


@pytest.mark.server
def test_videos_are_listed_changed_and_removed(server, client: Client, indexed: list) -> None:
    for id_ in ("http/1 & 2.mp4", "http/3.mp4"):
        client.index(indexed[0].video, id=id_, metadata={"year": 2026})
    path = f"/v1/video?id={quote('http/1 & 2.mp4', safe='')}"
    assert check(ask(server.address, path), "Video") == client.describe(["http/1 & 2.mp4"])[0].to_dict()
    for merge, body, wanted in (
        ("", {"channel": "news"}, {"channel": "news"}),
        ("&merge=true", {"year": 2027, "channel": None}, {"year": 2027}),
    ):
        answer = ask(server.address, path + merge, body, "PATCH")
        assert (answer.status, check(answer, "Changed")["id"]) == (200, "http/1 & 2.mp4"), answer
        assert client.describe(["http/1 & 2.mp4"])[0].metadata == wanted
    settle(client)
    listed, after = [], ""
    while after is not None:
        page = check(ask(server.address, f"/v1/videos?top=10{after and '&after=' + after}"), "VideoPage")
        listed += [video["id"] for video in page["videos"]]
        after = page["next"]
    assert listed == [video.id for video in client.videos()]
    assert len(listed) == page["count"]
    answer = ask(server.address, path, method="DELETE")
    assert check(answer, "Changed")["count"] == page["count"] - 1
    for method in ("GET", "DELETE", "PATCH"):
        assert ask(server.address, path, {} if method == "PATCH" else None, method).status == 404
    client.delete(["http/3.mp4"])
    settle(client)


@pytest.mark.server
def test_searches_are_narrowed_and_paged_as_over_grpc(server, client: Client, indexed: list) -> None:
    where = "duration > 2.5 and not id = 'test-00001.mp4'"
    wanted = client.search(TEXT, top=100, where=where)
    assert 0 < len(wanted.hits) < len(indexed)
    found, after = [], None
    while after is not None or not found:
        answer = ask(server.address, "/v1/search", {"text": TEXT, "top": 4, "where": where, "after": after})
        (result,) = check(answer, "SearchResponse")["results"]
        assert result["among"] == len(wanted.hits)
        found += [hit["id"] for hit in result["hits"]]
        after = result["next"]
        if after is not None:
            other = {"text": f"{TEXT} or not", "top": 4, "where": where, "after": after}
            assert "cursor is of another search" in ask(server.address, "/v1/search", other).json["detail"]
    assert found == [hit.id for hit in wanted.hits]
    # Beside another text in a batch, the door's own or anybody's, a score may differ in its last digits.
    least = (wanted.hits[2].score + wanted.hits[3].score) / 2
    (result,) = ask(server.address, "/v1/search", {"text": TEXT, "where": where, "min_score": least}).json["results"]
    assert [hit["id"] for hit in result["hits"]] == found[:3]
    listed = check(ask(server.address, f"/v1/videos?where={quote(where)}"), "VideoPage")
    assert {video["id"] for video in listed["videos"]} == set(found)
    refused = check(ask(server.address, "/v1/search", {"text": TEXT, "where": "duration >"}), "Problem")
    assert (refused["code"], "11" in refused["detail"]) == ("invalid-request", True), refused
    for path, body in (("/v1/videos?where=", None), ("/v1/search", {"text": TEXT, "where": ""})):
        assert "the filter is empty" in check(ask(server.address, path, body), "Problem")["detail"]


@pytest.mark.server
def test_a_videos_file_is_sent_in_ranges(server, indexed: list) -> None:
    path = f"/v1/video/file?id={quote(indexed[0].video.name)}"
    video = indexed[0].video.read_bytes()
    whole, part = ask(server.address, path), ask(server.address, path, Range="bytes=10-99")
    assert (whole.status, whole.body, whole.headers["content-type"]) == (200, video, "video/mp4")
    assert (part.status, part.body) == (206, video[10:100])
    assert part.headers["content-range"] == f"bytes 10-99/{len(video)}"
    head = ask(server.address, path, method="HEAD")
    assert (head.status, head.body, head.headers["content-length"]) == (200, b"", str(len(video)))
    assert ask(server.address, path, If_None_Match=whole.headers["etag"]).status == 304
    assert ask(server.address, path, Range="bytes=10-", If_Range='"another"').status == 200
    behind = ask(server.address, path, Range=f"bytes={len(video)}-")
    assert (behind.status, behind.headers["content-range"]) == (416, f"bytes */{len(video)}")
    for name in ("absent.mp4", "../outside.mp4"):
        missing = ask(server.address, f"/v1/video/file?id={quote(name, safe='')}")
        assert (missing.status, check(missing, "Problem")["code"]) == (404, "not-found")


@pytest.mark.server
def test_what_is_wrong_is_told_as_problem_details(server, indexed: list) -> None:
    search, videos = "/v1/search", "/v1/videos"
    for path, method, body, status, code, said in (
        (search, "POST", b"{", 400, "invalid-request", "no JSON"),
        (search, "POST", b"[" * 100_000, 400, "invalid-request", "no JSON"),
        (search, "POST", [], 400, "invalid-request", "must be a JSON object"),
        (search, "POST", {"text": TEXT, "more": 1}, 400, "invalid-request", "no field 'more'"),
        (search, "POST", {"text": ""}, 400, "invalid-query", "empty"),
        (search, "POST", {"text": TEXT, "top": 0}, 400, "invalid-request", "top is 0"),
        (search, "POST", {"texts": [TEXT] * 33, "top": 1}, 400, "invalid-request", "1 to 32 texts"),
        (search, "POST", {"text": TEXT, "candidates": ["absent"]}, 400, "invalid-request", "absent"),
        (search, "POST", bytes(300 << 10), 413, "too-large", "over gRPC"),
        (search, "GET", None, 405, "not-allowed", "takes POST"),
        ("/v1/nothing", "GET", None, 404, "not-found", "/v1/openapi.json"),
        (videos, "POST", b"no video", 400, "invalid-video", "format"),
        (videos, "POST", b"", 400, "invalid-video", "empty"),
        (f"{videos}?id=a&id=b", "POST", b"x", 400, "invalid-request", "twice"),
        (f"{videos}?id=%00", "POST", b"x", 400, "invalid-request", "control character"),
        (f"{videos}?id=%ff", "POST", b"x", 400, "invalid-request", "query string"),
        (f"{videos}?metadata=1", "POST", b"x", 400, "invalid-request", "must be an object"),
        (f"{videos}?name=a", "POST", b"x", 400, "invalid-request", "no field 'name'"),
        ("/v1/video/file", "GET", None, 400, "invalid-request", "needs id"),
        (f"{videos}?top=0", "GET", None, 400, "invalid-request", "top is 0"),
        (f"{videos}?top=x", "GET", None, 400, "invalid-request", "top is 'x'"),
        (f"{videos}?after=x", "GET", None, 400, "invalid-request", "cursor"),
        ("/v1/video?id=x&merge=yes", "PATCH", {}, 400, "invalid-request", "merge is 'yes'"),
        ("/v1/video?id=x", "PATCH", [], 400, "invalid-request", "must be a JSON object"),
    ):
        answer = ask(server.address, path, body, method)
        told = check(answer, "Problem")
        assert (answer.status, told["code"], told["status"]) == (status, code, status), (path, told)
        assert said in told["detail"]
        assert answer.headers["content-type"] == "application/problem+json"
    assert ask(server.address, search, {"text": TEXT}).status == 200


@pytest.mark.server
def test_a_video_beyond_the_limit_is_refused_before_it_is_read(server) -> None:
    import http.client

    connection = http.client.HTTPConnection(server.address, timeout=60)
    connection.putrequest("POST", "/v1/videos")
    connection.putheader("Content-Length", str(257 << 20))
    connection.endheaders()
    response = connection.getresponse()
    assert response.status == 400
    assert "the limit is" in json.loads(response.read())["detail"]
    connection.close()


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ({}, InvalidRequest),
        ({"text": "a", "texts": ["b"]}, InvalidRequest),
        ({"text": 1}, InvalidQuery),
        ({"text": None}, InvalidQuery),
        ({"text": "\ud800"}, InvalidQuery),
        ({"text": "a" * 70_000}, InvalidQuery),
        ({"texts": "a"}, InvalidQuery),
        ({"texts": []}, InvalidQuery),
        ({"texts": ["a", {}]}, InvalidQuery),
        ({"text": "a", "top": "3"}, InvalidRequest),
        ({"text": "a", "top": True}, InvalidRequest),
        ({"text": "a", "top": 2.5}, InvalidRequest),
        ({"text": "a", "top": 10**30}, InvalidRequest),
        ({"texts": ["a"] * 32, "top": 100}, InvalidRequest),
        ({"texts": ["a"] * 33, "top": 1}, InvalidRequest),
        ({"text": "a", "candidates": "b"}, InvalidRequest),
        ({"text": "a", "candidates": []}, InvalidRequest),
        ({"text": "a", "candidates": [1]}, InvalidRequest),
        ({"text": "a", "candidates": ["b"] * 4097}, InvalidRequest),
    ],
)
def test_values_of_other_types_are_refused(values: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        read_search(values, 32)


@pytest.mark.parametrize("values", [{"where": ["a"]}, {"min_score": {}}, {"offset": 10**30}])
def test_parameters_that_can_not_be_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest, match="it must be"):
        read_parameters(values)
    for name in ("where", "after"):
        with pytest.raises(InvalidRequest, match="half a character"):
            read_parameters({name: "a\ud800"})
    assert read_parameters({"min_score": 1, "after": None}) == {"facts": True, "min_score": 1}


def test_the_description_names_every_operation_and_field() -> None:
    from framesift.serving.front.v1 import fields, router, search, uploads

    assert fields
    source = Path(router.__file__).read_text()
    for operations in DOCUMENT["paths"].values():
        for operation in operations.values():
            assert f'"{operation["operationId"]}"' in source
    assert set(DOCUMENT["components"]["schemas"]["SearchRequest"]["properties"]) == set(search.FIELDS)
    asked = {field["name"] for field in DOCUMENT["paths"]["/v1/videos"]["post"]["parameters"]}
    assert asked == {*uploads.FIELDS, "model"}
