"""Two bundles behind one door: clients choose, a gallery is made again beside the searched one, and an alias moves."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from framesift.export.build import build_bundle
from framesift.export.bundle.errors import FramesiftError, InvalidRequest
from framesift.export.bundle.store import Bundle
from framesift.export.bundle.video.limits import DEFAULT_LIMITS
from framesift.serving.client.aliases import Aliases
from framesift.serving.client.results import SearchResult
from framesift.serving.client.sync import Client
from framesift.serving.gallery.store import Gallery
from framesift.serving.server.embedded import EmbeddedServer
from framesift.serving.several import Named, running_several

from ..exporting import built_once
from ..waiting import until
from .front.asked_over_http import ask

pytestmark = [pytest.mark.server, pytest.mark.slow, pytest.mark.timeout(600)]

FIRST = 8


@pytest.fixture(scope="module")
def other(demo_checkpoint: Path, bundles: Path) -> Bundle:
    """The demo's checkpoint with another attention: other records, and other scores."""
    return built_once(bundles / "demo-2", lambda out: build_bundle(demo_checkpoint, out, options={"top_k": 2}))


@pytest.fixture(scope="module")
def galleries(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("several")
    return folder / "old", folder / "new"


@pytest.fixture(scope="module")
def several(bundle: Bundle, other: Bundle, galleries: tuple[Path, Path]) -> Iterator[EmbeddedServer]:
    named = [Named("films", bundle.root, galleries[0]), Named("next", other.root, galleries[1])]
    with running_several(named, limits=DEFAULT_LIMITS) as server:
        yield server


def _found(result: SearchResult) -> list[tuple[str, float]]:
    return [(hit.id, round(hit.score, 5)) for hit in result.hits]


def _migrate(*arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "framesift", "gallery", "migrate", *map(str, arguments), "--jobs", "1"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def test_clients_choose_one(several: EmbeddedServer, bundle: Bundle, other: Bundle, clips: list) -> None:
    with Client(several.address) as default, Client(several.address, model="next") as next_:
        for clip in clips[:FIRST]:
            last = default.index(clip.video, id=clip.video.name)
        default.wait_searchable(last)
        assert default.served().fingerprint == bundle.manifest.fingerprint
        assert next_.served().fingerprint == other.manifest.fingerprint
        assert next_.search("a red square").hits == ()
        text = clips[0].captions[0]
        with Client(several.address, model="films") as films:
            assert _found(films.search(text)) == _found(default.search(text))
        with Client(several.address, model="none") as none, pytest.raises(InvalidRequest, match="no model 'none' here"):
            none.search(text)
    counts = {
        name: ask(several.address, f"/v1/gallery{query}", **headers).json["count"]
        for name, query, headers in (
            ("default", "", {}),
            ("query", "?model=next", {}),
            ("header", "", {"framesift_model": "next"}),
        )
    }
    assert counts == {"default": FIRST, "query": 0, "header": 0}
    for chosen, hits in ((None, 1), ("films", 1), ("next", 0)):
        values = {"text": text, "top": 1, **({} if chosen is None else {"model": chosen})}
        assert len(ask(several.address, "/v1/search", values).json["results"][0]["hits"]) == hits
    assert ask(several.address, "/v1/search", {"text": text, "model": "none"}).status == 400
    assert ask(several.address, "/v2/health/ready?model=next").status == 200
    assert ask(several.address, "/v2/health/ready?model=none").status == 400


def test_metrics_tell_whose_they_are(several: EmbeddedServer) -> None:
    text = ask(several.address, "/metrics").body.decode()
    for name in ("films", "next"):
        assert f'framesift_ready{{served="{name}"}} 1' in text
        assert f'nv_inference_request_success{{served="{name}",model="gallery_search"' in text
    heads = [line for line in text.splitlines() if line.startswith("# TYPE")]
    assert len(heads) == len(set(heads))


def test_a_gallery_is_made_again_and_an_alias_moves(
    several: EmbeddedServer, bundle: Bundle, other: Bundle, clips: list, galleries: tuple[Path, Path], tmp_path: Path
) -> None:
    """Killed in the middle and run again, while videos come, change and go and somebody searches all the time."""
    old, new = galleries
    text = clips[0].captions[0]
    first = _migrate(old, new, "--bundle", other.root)
    until(lambda: Gallery.existing(new).count >= 2)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    made = Gallery.existing(new).lookup([clip.video.name for clip in clips]).digests
    assert len(made) >= 2
    # Another gallery's name is refused, and so is an alias that there is not.
    for wrong in (("--alias", "none"), ("--alias", "films", "--to", "films")):
        refused = _migrate(old, new, "--bundle", other.root, "--server", several.address, *wrong)
        assert refused.communicate()[0].splitlines()[-1].startswith("Error: ")
        assert refused.returncode == 1
    seen: list[SearchResult] = []
    failed: list[FramesiftError] = []
    over = threading.Event()

    def search() -> None:
        with Client(several.address, retry=False) as client:
            while not over.is_set():
                try:
                    seen.append(client.search(text, 30, facts=False))
                except FramesiftError as error:
                    failed.append(error)

    def write() -> None:
        with Client(several.address) as client:
            for clip in clips[FIRST : FIRST + 4]:
                client.index(clip.video, id=clip.video.name)
            client.delete([clips[1].video.name])
            client.index(clips[3].video, id=clips[2].video.name)
            client.update({clips[4].video.name: {"year": 1999}})

    threads = [threading.Thread(target=target) for target in (search, write)]
    for thread in threads:
        thread.start()
    again = _migrate(old, new, "--bundle", other.root, "--alias", "films", "--server", several.address)
    said, _ = again.communicate(timeout=300)
    threads[1].join()
    # The next but one was surely asked for after the alias had moved.
    told = len(seen)
    until(lambda: failed or len(seen) > told + 1)
    over.set()
    threads[0].join()
    assert again.returncode == 0, said
    assert "the alias films is answered with it" in said
    assert not failed
    there = Aliases(several.address).list()
    assert there.aliases == {"films": "next", "next": "next"}
    with Client(several.address) as films, Client(several.address, model="next") as next_:
        films.wait_searchable(films.index(clips[FIRST].video, id="after"))
        now = films.search(text, 30, facts=False)
        assert _found(now) == _found(next_.search(text, 30, facts=False))
        assert films.served().fingerprint == other.manifest.fingerprint
        known = films.describe([clips[4].video.name])[0]
        assert known is not None
        assert known.metadata == {"year": 1999}
        ids = {hit.id for hit in now.hits}
        assert ids == {clip.video.name for clip in clips[: FIRST + 4]} - {clips[1].video.name} | {"after"}
        digests = films.lookup([clips[2].video.name, clips[3].video.name]).digests
        assert len(set(digests.values())) == 1
    # Every answer was one model's or the other's: a video's score is one of two, and all of an answer are of one model.
    Aliases(several.address).switch("films", "films")
    with Client(several.address) as films, Client(several.address, model="next") as next_:
        # Pages go on with the model that showed the first one.
        for first_page, others in ((films.search(text, 2), next_.search), (films.list_videos(2), next_.list_videos)):
            asked = {"text": text} if others == next_.search else {}
            with pytest.raises(InvalidRequest, match="of another search"):
                others(**asked, top=2, after=first_page.next)
        of_old = dict(_found(films.search(text, 30)))
        of_new = dict(_found(next_.search(text, 30)))
    assert of_old.keys() >= ids - {"after"}
    assert not of_old.items() & of_new.items()
    ends = []
    stable = ids - {"after", clips[2].video.name}
    for result in seen:
        pairs = {(id_, score) for id_, score in _found(result) if id_ in stable}
        assert pairs <= of_old.items() or pairs <= of_new.items()
        ends.append(pairs <= of_old.items())
    assert ends[0]
    assert not ends[-1]
    assert sorted(ends, reverse=True) == ends
    # Nobody takes what was written since for too much.
    late = _migrate(old, new, "--bundle", other.root)
    assert "a gallery of its own" in late.communicate()[0]


def test_a_death_of_one_leaves_the_others(several: EmbeddedServer, clips: list) -> None:
    with Client(several.address, model="next", retry=False) as next_:
        os.kill(several.pid, signal.SIGKILL)
        for _ in range(20):
            assert next_.search(clips[0].captions[0]).hits
        with Client(several.address) as films:
            films.wait_ready(240)
            assert films.search(clips[0].captions[0]).hits
    told = json.loads(ask(several.address, "/v1/models").body)
    assert [model["name"] for model in told["models"]] == ["films", "next"]
