"""The page's files and headers, and who may ask for what, at a door that nobody stands behind."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from framesift.export.bundle.store import Bundle
from framesift.serving.front.tokens import new_token
from framesift.serving.server.door import Reach

from .alone import standing
from .asked_over_http import ask

STATIC = Path(__file__).parents[3] / "serving" / "front" / "page" / "static"


@pytest.fixture(scope="module")
def token(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    path = tmp_path_factory.mktemp("tokens") / "tokens"
    return path, new_token(path, "reader", ["search"])


@pytest.fixture(scope="module")
def guarded(bundle: Bundle, token: tuple[Path, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    reach = Reach(tokens=token[0], page=True)
    with standing(bundle.root, tmp_path_factory.mktemp("run"), reach) as (address, _):
        yield address


def test_the_page_is_whole_and_takes_nothing_from_elsewhere(guarded: str) -> None:
    page = ask(guarded, "/")
    assert (page.status, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    named = set(re.findall(r'(?:href|src)="(/static/[^"]+)"', page.body.decode()))
    assert {f"/static/{path.name}" for path in STATIC.iterdir()} - {"/static/index.html"} == named
    for path in named:
        asset = ask(guarded, path)
        assert asset.status == 200
        assert asset.body == (STATIC / Path(path).name).read_bytes()
        assert ask(guarded, path, If_None_Match=asset.headers["etag"]).status == 304
        assert b"http" not in re.sub(rb"http://www\.w3\.org/\S+", b"", asset.body)
    policy = dict(part.strip().split(" ", 1) for part in page.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == policy["frame-ancestors"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    # What the policy forbids would be left out without a word.
    assert not re.search(rb"<style|<script>|\son\w+=|\sstyle=", page.body)
    assert page.headers["x-content-type-options"] == "nosniff"


def test_modules_import_one_another_one_way() -> None:
    imports = {path.name: re.findall(r'from "\./([\w.]+)"', path.read_text()) for path in STATIC.glob("*.js")}
    assert set().union(*imports.values()) | {"main.js"} == set(imports)
    from graphlib import TopologicalSorter

    TopologicalSorter(imports).prepare()
    assert max(len(path.read_text().splitlines()) for path in STATIC.iterdir()) <= 200


def test_nothing_is_told_without_a_token(guarded: str, token: tuple[Path, str]) -> None:
    for path, body in (("/v1/search", {"text": "a"}), ("/v1/videos", b"x"), ("/v1/gallery", None)):
        answer = ask(guarded, path, body)
        assert (answer.status, answer.json["code"], answer.headers["www-authenticate"]) == (401, "access", "Bearer")
    assert ask(guarded, "/v1/openapi.json").status == 200
    # A role is missing, before anything of the body is read.
    assert ask(guarded, "/v1/videos", b"x", Authorization=f"Bearer {token[1]}").status == 403


def test_a_token_becomes_a_cookie_that_no_script_can_read(guarded: str, token: tuple[Path, str]) -> None:
    wrong = ask(guarded, "/session", {"token": "fs_guessed"})
    assert (wrong.status, wrong.headers.get("set-cookie")) == (401, None)
    assert ask(guarded, "/session", {"token": "a;b"}).status == 400
    assert ask(guarded, "/session", {"token": 1}).status == 400
    assert ask(guarded, "/session").status == 405
    known = ask(guarded, "/session", {"token": token[1]})
    cookie, *rules = known.headers["set-cookie"].split("; ")
    assert (known.status, rules) == (204, ["Path=/v1", "HttpOnly", "SameSite=Strict"])
    # Nobody answers behind the door, but the caller is known.
    assert ask(guarded, "/v1/videos", b"x", Cookie=cookie).status == 403
    assert ask(guarded, "/v1/videos", b"x", Cookie="framesift=fs_guessed").status == 401
    gone = ask(guarded, "/session", method="DELETE")
    assert "Max-Age=0" in gone.headers["set-cookie"]


def test_pages_of_others_are_refused(guarded: str) -> None:
    answer = ask(guarded, "/session", {"token": "x"}, Origin="http://evil.example")
    assert (answer.status, answer.json["code"]) == (403, "access")
    answer = ask(guarded, "/v2/models/search/infer", b"x", Origin="http://evil.example")
    assert answer.status == 401
    assert ask(guarded, "/", Sec_Fetch_Site="cross-site").status == 403
    assert ask(guarded, "/", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="navigate").status == 200


def test_names_of_others_are_refused_where_there_are_no_tokens(bundle: Bundle, tmp_path: Path) -> None:
    with standing(bundle.root, tmp_path / "run", Reach(names=frozenset({"films.example"}))) as (address, _):
        for host, status in (("evil.example", 403), ("films.example:80", 200), (address, 200), ("localhost", 200)):
            assert ask(address, "/v1/openapi.json", Host=host).status == status
        told = ask(address, "/v2", Origin="http://evil.example", Host="evil.example")
        assert (told.status, "is not called" in told.json["error"]) == (403, True)
        assert ask(address, "/v2", Host="evil.example").status == 200
        # Without --page there is none.
        assert ask(address, "/").status == 404
        assert ask(address, "/static/main.js").status == 404
