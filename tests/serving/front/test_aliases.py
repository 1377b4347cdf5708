"""Aliases at a door whose Triton servers are not there: who may see and move them, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from framesift.export.bundle.errors import AccessDenied, InvalidRequest, ServerStartError, ServerUnavailable
from framesift.export.bundle.store import Bundle
from framesift.export.bundle.video.limits import DEFAULT_LIMITS
from framesift.serving import several
from framesift.serving.client.aliases import Aliases
from framesift.serving.client.connection import Credentials
from framesift.serving.front.behind import Behind
from framesift.serving.front.expositions import merged
from framesift.serving.front.tokens import new_token
from framesift.serving.server.door import Reach
from framesift.serving.several import Named, check_names

from .alone import standing
from .asked_over_http import ask


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    path = tmp_path_factory.mktemp("tokens") / "tokens"
    return path, {role: new_token(path, role, [role]) for role in ("search", "index", "admin")}


@pytest.fixture(scope="module")
def two(bundle: Bundle, tokens: tuple[Path, dict[str, str]], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    away = tmp_path_factory.mktemp("away")
    behind = Behind("next", bundle.root, away / "triton", away / "metrics", away, away / "gallery")
    reach = Reach(tokens=tokens[0], alias="films", beside=[behind])
    with standing(bundle.root, tmp_path_factory.mktemp("run"), reach) as (address, _):
        yield address


def _as(address: str, tokens: tuple[Path, dict[str, str]], role: str) -> Aliases:
    return Aliases(address, Credentials(token=tokens[1][role]))


def test_models_are_listed_to_those_who_are_known(
    two: str, tokens: tuple[Path, dict[str, str]], bundle: Bundle
) -> None:
    found = _as(two, tokens, "search").list()
    assert (dict(found.aliases), found.default) == ({"films": "films", "next": "next"}, "films")
    assert [(model.name, model.fingerprint, model.ready, model.writing) for model in found.models] == [
        (name, bundle.manifest.fingerprint, False, 0) for name in ("films", "next")
    ]
    assert found.model("none") is None
    with pytest.raises(AccessDenied):
        Aliases(two, Credentials()).list()


def test_an_alias_is_moved_by_an_admin_to_what_answers(two: str, tokens: tuple[Path, dict[str, str]]) -> None:
    for role in ("search", "index"):
        with pytest.raises(AccessDenied):
            _as(two, tokens, role).switch("films", "next")
    admin = _as(two, tokens, "admin")
    with pytest.raises(ServerUnavailable, match="next does not answer searches"):
        admin.switch("films", "next")
    for alias, model in (("none", "next"), ("films", "none"), ("films", "")):
        with pytest.raises(InvalidRequest, match="there is no model"):
            admin.switch(alias, model)
    assert admin.list().aliases["films"] == "films"
    authorization = f"Bearer {tokens[1]['admin']}"
    for body in ({}, {"alias": "films"}, {"alias": ["films"], "model": "next"}, {"alias": "films", "to": "next"}):
        assert ask(two, "/v1/models", body, "PUT", authorization=authorization).status == 400


def test_which_models_there_are_is_told_to_nobody_else(two: str) -> None:
    for path in ("/v1/gallery?model=none", "/v2/models/search?model=none", "/metrics?model=none"):
        answer = ask(two, path)
        assert answer.status == 401
        assert b"films" not in answer.body
    assert ask(two, "/v2/health/live", framesift_model="next").status == 200


def test_a_search_is_counted_for_the_model_that_it_chooses(two: str, tokens: tuple[Path, dict[str, str]]) -> None:
    authorization = f"Bearer {tokens[1]['search']}"

    def counted() -> dict[str, float]:
        lines = ask(two, "/metrics", authorization=authorization).body.decode().splitlines()
        calls = [line for line in lines if line.startswith("framesift_calls_total{") and 'method="search"' in line]
        return {
            name: sum(float(line.split()[-1]) for line in calls if f'served="{name}"' in line)
            for name in ("films", "next")
        }

    before = counted()
    for number, (path, body) in enumerate(
        [("/v1/search", {"model": "next"}), ("/v1/search?model=next", {}), ("/v1/search", {"model": "films"})], 1
    ):
        assert ask(two, path, {"text": "a dog", **body}, authorization=authorization).status == 503
        after = counted()
        assert after["next"] == before["next"] + min(number, 2)
        assert after["films"] == before["films"] + max(0, number - 2)


def test_a_door_that_comes_after_another_goes_on_with_its_aliases(two: str, bundle: Bundle, tmp_path: Path) -> None:
    away = tmp_path / "away"
    behind = Behind("next", bundle.root, away / "triton", away / "metrics", away, None)
    run = tmp_path / "run"
    run.mkdir()
    (run / "aliases.json").write_text('{"films": "next", "next": "next"}')
    with standing(bundle.root, run, Reach(alias="films", beside=[behind])) as (address, _):
        assert dict(Aliases(address, Credentials()).list().aliases) == {"films": "next", "next": "next"}


@pytest.mark.parametrize(
    "text", ["films", "films=", "films=a", "films=a:", "=a:b", "Films=a:b", "a b=a:b", "x" * 41 + "=a:b"]
)
def test_what_is_no_bundle_with_a_name_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest):
        Named.read(text)


def test_names_and_galleries_come_once(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "g")
    one, other = Named.read(f"a=b:{tmp_path}/g"), Named.read(f"c=/x:y/b:{tmp_path}/link")
    assert other.bundle == Path("/x:y/b")
    with pytest.raises(InvalidRequest, match="the gallery"):
        check_names([one, other])
    with pytest.raises(InvalidRequest, match="the name a"):
        check_names([one, Named.read("a=b:elsewhere")])


def test_what_does_not_fit_into_memory_is_refused_in_words(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = [Named(name, bundle.root, tmp_path / name) for name in ("films", "next")]
    monkeypatch.setattr(several, "free_bytes", lambda: 1 << 30)
    with (
        pytest.raises(
            ServerStartError, match=r"films about 0\.9 GiB, next about 0\.9 GiB of memory .* 1\.0 GiB are free"
        ),
        several.running_several(named, limits=DEFAULT_LIMITS),
    ):
        pass


def test_expositions_are_joined_metric_by_metric() -> None:
    one = '# HELP a One.\n# TYPE a counter\na 1\na{x="y"} 2\n# HELP h H.\n# TYPE h histogram\nh_bucket{le="+Inf"} 3\n'
    two = "# HELP b Two.\n# TYPE b gauge\nb 5\n# HELP a One.\n# TYPE a counter\na 7\n"
    assert merged({"m": one, "n": two}, "served").splitlines() == [
        "# HELP a One.",
        "# TYPE a counter",
        'a{served="m"} 1',
        'a{served="m",x="y"} 2',
        'a{served="n"} 7',
        "# HELP h H.",
        "# TYPE h histogram",
        'h_bucket{served="m",le="+Inf"} 3',
        "# HELP b Two.",
        "# TYPE b gauge",
        'b{served="n"} 5',
    ]
