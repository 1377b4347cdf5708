"""Searches by a video, an image, and a video beside a text, on the real server: each against eager float64."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from framesift.__main__ import main
from framesift.export.build import eager_system
from framesift.export.bundle.errors import InvalidRequest, InvalidVideo
from framesift.export.bundle.store import Bundle
from framesift.serving.client.sync import Client
from framesift.serving.ranking_parity import compare

from .front.asked_over_http import ask, settle
from .front.test_v1 import check

pytestmark = pytest.mark.server
TEXT = "a red circle"


class Reference:
    """The eager system in float64 over the records that the server makes, rounded as the gallery keeps them."""

    @torch.no_grad()
    def __init__(self, bundle: Bundle, client: Client, clips: list) -> None:
        self.ids = [clip.video.name for clip in clips]
        self.tokenizer = bundle.tokenizer()
        self.system = eager_system(bundle).double().folded()
        made = [client.encode_video(clip.video).tensors for clip in clips]
        self.video = tuple(
            torch.from_numpy(np.stack([each[tensor.name].astype(tensor.stored) for each in made])).double()
            for tensor in self.system.video_record
        )

    def like(self, record: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        named = dict(zip((tensor.name for tensor in self.system.video_record), record, strict=True))
        return tuple(self.system.encode_like(*(named[tensor.name] for tensor in self.system.like_inputs)))

    @torch.no_grad()
    def scores(self, weight: float = 1.0) -> NDArray[Any]:
        """Of every clip as what is searched with, beside ``TEXT`` where the weight is less than 1."""
        like = self.like(self.video)
        text = self.system.encode_text(torch.from_numpy(self.tokenizer.encode([TEXT])))
        mixed = [(1 - weight) * words + weight * shown for words, shown in zip(text, like, strict=True)]
        scores: NDArray[Any] = self.system.score(mixed, self.video).numpy()
        return scores


@pytest.fixture(scope="module")
def reference(bundle: Bundle, server, indexed: list) -> Reference:
    with Client(server.address) as client:
        return Reference(bundle, client, indexed)


@pytest.mark.parametrize("weight", [None, 0.0, 0.4, 1.0])
def test_a_ranking_is_the_eager_one(weight: float | None, client: Client, reference: Reference) -> None:
    ids, text = reference.ids, None if weight is None else TEXT
    found = [
        client.search(text, len(ids), like=id_, weight=weight, include=True, candidates=ids, facts=False)
        for id_ in ids[:8]
    ]
    scores = reference.scores(1.0 if weight is None else weight)[:8]
    parity = compare(
        [[hit.id for hit in result.hits] for result in found],
        [np.array([hit.score for hit in result.hits]) for result in found],
        ids,
        scores,
    )
    assert (parity.equal, parity.off) == (8, 0)
    assert [result.like for result in found] == ids[:8]
    if weight == 0.0:
        plain = client.search(TEXT, len(ids), candidates=ids, facts=False)
        assert [hit.score for hit in found[0].hits] == pytest.approx([hit.score for hit in plain.hits], abs=1e-6)


def test_a_video_is_no_hit_of_itself_but_where_it_is_asked_for(client: Client, reference: Reference) -> None:
    id_ = reference.ids[0]
    own = client.search(like=id_, top=1000, include=True)
    others = client.search(like=id_, top=1000)
    assert [hit.id for hit in own.hits if hit.id != id_] == [hit.id for hit in others.hits]
    assert len(own.hits) == len(others.hits) + 1
    assert own.hits[0].metadata is not None
    assert own.hits[0].moment in own.hits[0].timestamps
    # Top-K attention promises it of no video, and of nearly all it is so.
    first = [client.search(like=each, top=1, include=True).hits[0].id == each for each in reference.ids]
    assert sum(first) >= len(first) - 2


def test_filters_thresholds_offsets_and_pages_are_those_of_a_text(client: Client, reference: Reference) -> None:
    id_ = reference.ids[3]
    whole = client.search(like=id_, top=1000)
    ranking = [hit.id for hit in whole.hits]
    assert [hit.id for hit in client.search(like=id_, top=5, offset=4).hits] == ranking[4:9]
    bound = whole.hits[6].score
    assert [hit.id for hit in client.search(like=id_, top=50, min_score=bound).hits] == ranking[:7]
    some = "', '".join(sorted(reference.ids)[:9])
    narrowed = client.search(like=id_, top=50, where=f"id in ('{some}')")
    assert [hit.id for hit in narrowed.hits] == [each for each in ranking if each in some]
    for top in (1, 4, 5):
        pages = list(client.search_pages(like=id_, top=top))
        assert [hit.id for page in pages for hit in page.hits] == ranking
    cursor = client.search(like=id_, top=5).next
    with pytest.raises(InvalidRequest, match="cursor is of another search"):
        client.search(like=reference.ids[4], top=5, after=cursor)


def still(clip: Path) -> Image.Image:
    with av.open(str(clip)) as container:
        return next(container.decode(video=0)).to_image()


def test_what_is_sent_is_searched_with_and_kept_nowhere(client: Client, reference: Reference, indexed: list) -> None:
    settle(client)
    before = client.lookup([]).count
    clip = indexed[5].video
    by_id = client.search(like=clip.name, top=30, include=True, candidates=reference.ids)
    by_file = client.search(like=clip, top=30, candidates=reference.ids)
    by_bytes = client.search(like=clip.read_bytes(), top=30, candidates=reference.ids)
    for sent in (by_file, by_bytes):
        assert [hit.id for hit in sent.hits] == [hit.id for hit in by_id.hits]
        assert [hit.score for hit in sent.hits] == pytest.approx([hit.score for hit in by_id.hits], abs=1e-6)
    assert by_file.like == clip.name
    picture = still(clip)
    file = io.BytesIO()
    picture.save(file, "PNG")
    results = [client.search(like=each, top=24) for each in (picture, np.asarray(picture), file.getvalue())]
    assert len({tuple(hit.id for hit in result.hits) for result in results}) == 1
    assert clip.name in [hit.id for hit in results[0].hits[:5]]
    beside = client.search(TEXT, like=clip, weight=0.4, top=30, candidates=reference.ids)
    named = client.search(TEXT, like=clip.name, weight=0.4, include=True, top=30, candidates=reference.ids)
    assert [hit.id for hit in beside.hits] == [hit.id for hit in named.hits]
    # Its version is another one where files were merged meanwhile.
    assert client.lookup([]).count == before


def test_what_can_not_be_searched_with_is_refused(client: Client, reference: Reference) -> None:
    with pytest.raises(InvalidRequest, match="the gallery has no video 'nobody'"):
        client.search(like="nobody")
    file = io.BytesIO()
    Image.new("L", (9000, 400)).save(file, "PNG")
    with pytest.raises(InvalidVideo, match="8192 pixels on a side"):
        client.search(like=file.getvalue())
    with pytest.raises(InvalidVideo):
        client.search(like=b"no video at all")
    for options, why in (
        ({}, "needs a text, a video"),
        ({"like": "a", "weight": 0.5}, "give both"),
        ({"text": "a", "weight": 0.5}, "give both"),
        ({"text": "a", "like": "b", "weight": 2}, "from 0 to 1"),
        ({"text": "a", "include": True}, "include is for"),
        ({"like": np.zeros((4, 4), np.uint8)}, "RGB"),
        ({"like": 3}, "RGB"),
    ):
        with pytest.raises(InvalidRequest, match=why):
            client.search(**options)


def test_a_removed_video_is_refused_and_what_replaced_it_counts(client: Client, indexed: list) -> None:
    first, second = indexed[0].video, indexed[9].video
    client.index(first, id="likes/1")
    settle(client)
    assert client.search(like="likes/1", top=1).hits[0].id == first.name
    client.index(second, id="likes/1")
    settle(client)
    assert client.search(like="likes/1", top=1).hits[0].id == second.name
    client.delete(["likes/1"])
    with pytest.raises(InvalidRequest, match="no video 'likes/1'"):
        client.search(like="likes/1")
    settle(client)


def form(name: str, file: bytes, search: dict[str, Any]) -> tuple[bytes, str]:
    parts = (
        b'form-data; name="search"\r\n\r\n' + json.dumps(search).encode(),
        f'form-data; name="video"; filename="{name}"\r\n\r\n'.encode() + file,
    )
    body = b"".join(b"--edge\r\nContent-Disposition: " + part + b"\r\n" for part in parts) + b"--edge--\r\n"
    return body, "multipart/form-data; boundary=edge"


def test_over_http(server, client: Client, indexed: list) -> None:
    clip = indexed[2].video
    asked = {"like": clip.name, "top": 5}
    for body, wanted in (
        (asked, client.search(like=clip.name, top=5)),
        ({**asked, "include": True}, client.search(like=clip.name, top=5, include=True)),
        ({**asked, "text": TEXT, "weight": 0.2}, client.search(TEXT, 5, like=clip.name, weight=0.2)),
    ):
        (told,) = check(ask(server.address, "/v1/search", body), "SearchResponse")["results"]
        assert [hit["id"] for hit in told["hits"]] == [hit.id for hit in wanted.hits]
        assert told["like"] == clip.name
    for search in ({"top": 5}, {"top": 5, "text": TEXT, "weight": 0.7, "partial": True}):
        sent, kind = form("C:\\films\\one.mp4", clip.read_bytes(), search)
        answer = ask(server.address, "/v1/search", sent, Content_Type=kind)
        (told,) = check(answer, "SearchResponse")["results"]
        wanted = client.search(search.get("text"), 5, like=clip, weight=search.get("weight"))
        assert [hit["id"] for hit in told["hits"]] == [hit.id for hit in wanted.hits]
        assert told["like"] == "one.mp4"
    for body, why in (
        ({"like": "nobody"}, "has no video 'nobody'"),
        ({"like": 3}, "like is int"),
        ({"like": "a", "texts": ["b"]}, "one text beside it"),
        ({"like": "a", "text": "b", "weight": 2}, "must lie in 0..1"),
        ({"text": "a", "weight": 0.2}, "weight is for a search with a video"),
    ):
        answer = ask(server.address, "/v1/search", body)
        assert answer.status == 400
        assert why in check(answer, "Problem")["detail"]
    assert check(ask(server.address, "/v1/gallery"), "Gallery")["like"] == "beside"


def lengthened(clip: Path) -> bytes:
    """The same film with a box that is skipped, so long that it comes through shared memory."""
    size = 3 << 20
    return clip.read_bytes() + size.to_bytes(4, "big") + b"free" + bytes(size - 8)


@pytest.mark.parametrize("large", [False, True], ids=["small", "large"])
def test_a_cursor_is_of_the_film_that_was_sent(large: bool, server, client: Client, indexed: list) -> None:
    films = [lengthened(each.video) if large else each.video.read_bytes() for each in indexed[5:7]]
    for text in (None, TEXT):
        ranking = [hit.id for hit in client.search(text, 1000, like=films[0]).hits]
        pages = list(client.search_pages(text, 5, like=films[0]))
        assert [hit.id for page in pages for hit in page.hits] == ranking
        cursor = pages[0].next
        others = [(text, films[1]), (f"{TEXT} or not", films[0])]
        for other, film in others:
            with pytest.raises(InvalidRequest, match="cursor is of another search: text, video"):
                client.search(other, 5, like=film, after=cursor)
        # Over HTTP it is the same cursor.
        for film, wanted in ((films[0], ranking[5:10]), (films[1], None)):
            search = {"top": 5, "after": cursor, **({} if text is None else {"text": text})}
            body, kind = form("one.mp4", film, search)
            answer = ask(server.address, "/v1/search", body, Content_Type=kind)
            if wanted is None:
                assert "cursor is of another search" in check(answer, "Problem")["detail"]
            else:
                (told,) = check(answer, "SearchResponse")["results"]
                assert [hit["id"] for hit in told["hits"]] == wanted
    # One of a film in the gallery is no cursor of one that is sent, nor the other way round.
    named = client.search(like=indexed[5].video.name, top=5).next
    with pytest.raises(InvalidRequest, match="cursor is of another search"):
        client.search(like=films[0], top=5, after=named)
    with pytest.raises(InvalidRequest, match="cursor"):
        client.search(like=indexed[5].video.name, top=5, after=client.search(like=films[0], top=5).next)


def test_the_command(server, indexed: list, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRAMESIFT_SERVER", server.address)
    monkeypatch.chdir(tmp_path)
    still(indexed[1].video).save("still.jpg")

    def run(*arguments: str) -> Any:
        return CliRunner().invoke(main, ["search", *arguments])

    by_id = run("--like", indexed[1].video.name, "--top", "3", "--json")
    assert (by_id.exit_code, len(json.loads(by_id.stdout)["hits"])) == (0, 3)
    by_file = run("--like", "still.jpg", TEXT, "--weight", "0.6", "--top", "3")
    assert (by_file.exit_code, by_file.stderr) == (0, "searching with the file still.jpg\n")
    assert len(by_file.stdout.splitlines()) == 4
    neither = run("--like", "nothing.jpg")
    assert neither.exit_code == 1
    assert "no video 'nothing.jpg', and there is no file" in neither.stderr
    for wrong in ([], ["a", "--weight", "0.5"], ["a", "b", "--like", "c"]):
        assert run(*wrong).exit_code == 2
