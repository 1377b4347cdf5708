"""Two galleries filled by one body and searched by another, of which one chooses candidates for the other."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest

from framesift.export.bundle.errors import FramesiftError, GalleryError, InvalidQuery, InvalidRequest
from framesift.export.bundle.models import GALLERY_VARIABLE, SHORTLIST_VARIABLE
from framesift.export.bundle.packing import pack_joined, pack_rows, unpack_joined, unpack_row
from framesift.export.bundle.ports import (
    CANDIDATE_LENGTHS,
    CANDIDATES,
    CHANGE_LENGTHS,
    CHANGES,
    DIGEST,
    DURATION,
    FRAME_EMBEDDINGS,
    ID,
    ID_LENGTHS,
    IDS,
    MEAN_EMBEDDING,
    METADATA,
    OPTIONS,
    PART,
    PRESENT,
    SCORES,
    SHORTLIST,
    SOURCE,
    SPAN,
    TEXT_EMBEDDING,
    TIMESTAMPS,
    TOP,
    VERSION,
)
from framesift.export.bundle.segments import Segment
from framesift.export.bundle.shortlist import FOLDER, PREFIX
from framesift.export.bundle.video.part import Part
from framesift.serving.backends.gallery_index import GalleryIndex
from framesift.serving.backends.gallery_lookup import GalleryLookup
from framesift.serving.backends.gallery_search import GallerySearch
from framesift.serving.gallery.comparing import compared
from framesift.serving.gallery.rows import GalleryEntry
from framesift.serving.gallery.store import Gallery

from ...waiting import until
from ..toy_ports import toy_manifest, whole_pairs
from ..toy_scorer import DIM, FRAMES, scorer_graph

MakeEntry = Callable[..., GalleryEntry]
Arrays = dict[str, npt.NDArray[Any]]
LIMIT = 3
VIDEOS = [f"v{n}" for n in range(7)]
# Seeds of a video's two records.
OWN, OTHER = 1, 2


@dataclass(frozen=True)
class Pair:
    """Bodies with both galleries, and the galleries' folders."""

    index: GalleryIndex
    search: GallerySearch
    lookup: GalleryLookup
    own: Path
    other: Path

    @property
    def chooser(self) -> Gallery:
        """The gallery that chooses."""
        assert self.index.chooser is not None
        return self.index.chooser

    def fill(self, *requests: Arrays) -> int:
        """Index, wait until searches see it, and return the version."""
        answers = self.index.run(list(requests))
        versions = [int(answer[VERSION][0, 0]) for answer in answers if not isinstance(answer, FramesiftError)]
        assert len(versions) == len(requests), answers
        until(lambda: self.search.snapshot.view.version >= versions[-1])
        return versions[-1]

    def ask(self, request: Arrays) -> tuple[list[str], list[float], dict[str, Any]]:
        """The ids and scores found, and what is told of their origin."""
        (answer,) = self.search.run([request])
        assert not isinstance(answer, FramesiftError), answer
        ids = unpack_joined(answer[IDS][0], answer[ID_LENGTHS][0], IDS)
        return ids, answer[SCORES][0].tolist(), json.loads(unpack_row(answer[SHORTLIST][0], SHORTLIST))

    def refused(self, request: Arrays) -> FramesiftError:
        """The error of a search."""
        (answer,) = self.search.run([request])
        assert isinstance(answer, FramesiftError), answer
        return answer

    def present(self, *ids: str) -> list[bool]:
        """Which of these ids both galleries have."""
        joined, lengths = pack_joined([id_.encode() for id_ in ids])
        (answer,) = self.lookup.run([{IDS: joined, ID_LENGTHS: lengths}])
        assert not isinstance(answer, FramesiftError), answer
        found: list[bool] = answer[PRESENT].tolist()
        return found


@pytest.fixture
def pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pair]:
    version = tmp_path / "1"
    (version / FOLDER).mkdir(parents=True)
    chooser = toy_manifest(FRAMES, 32, DIM, fingerprint="model-b", attends=False)
    for folder, manifest in ((version, whole_pairs(LIMIT)), (version / FOLDER, chooser)):
        (folder / "manifest.json").write_text(manifest.to_json())
        onnx.save(scorer_graph(attends=False), folder / "scorer.onnx")
    own, other = tmp_path / "own", tmp_path / "other"
    monkeypatch.setenv(GALLERY_VARIABLE, str(own))
    monkeypatch.setenv(SHORTLIST_VARIABLE, str(other))
    bodies = GalleryIndex(), GallerySearch(), GalleryLookup()
    for body in bodies:
        body.setup({}, version)
    yield Pair(*bodies, own, other)
    for body in bodies[:2]:
        body.finalize()


@pytest.fixture
def record(make_entry: MakeEntry) -> Callable[..., Arrays]:
    """A request to index a video, with both records; the other one's film is twice as long."""

    def made(id_: str, **facts: Any) -> Arrays:
        own, other = make_entry(id_, OWN, **facts), make_entry(id_, OTHER, **facts)
        return {
            FRAME_EMBEDDINGS: own.tensors[FRAME_EMBEDDINGS][None],
            TIMESTAMPS: own.timestamps[None],
            DURATION: np.array([[own.duration]], np.float32),
            **{PREFIX + name: values[None] for name, values in other.tensors.items()},
            PREFIX + TIMESTAMPS: 2 * other.timestamps[None],
            PREFIX + DURATION: np.array([[2 * other.duration]], np.float32),
            ID: pack_rows([id_.encode()]),
            SOURCE: pack_rows([b"/films/" + id_.encode()]),
            DIGEST: np.frombuffer(own.digest, np.uint8)[None],
            METADATA: pack_rows([b"{}"]),
        }

    return made


def question(seed: int = 5, top: int = 10, candidates: tuple[str, ...] = ()) -> Arrays:
    random = np.random.default_rng(seed)
    joined, lengths = pack_joined([id_.encode() for id_ in candidates] or [b""])
    return {
        TEXT_EMBEDDING: random.standard_normal((1, DIM), dtype=np.float32),
        PREFIX + TEXT_EMBEDDING: random.standard_normal((1, DIM), dtype=np.float32),
        TOP: np.full((1, 1), top, np.int32),
        CANDIDATES: joined[None] if candidates else np.zeros((1, 1), np.uint8),
        CANDIDATE_LENGTHS: lengths[None],
    }


def scores(text: npt.NDArray[Any], entries: list[GalleryEntry]) -> npt.NDArray[np.float64]:
    """The toy scorer's, in float64."""
    frames = np.stack([entry.tensors[FRAME_EMBEDDINGS].astype(np.float16) for entry in entries]).astype(np.float64)
    logits = frames @ text[0].astype(np.float64)
    weights = np.exp(logits)
    return np.asarray((weights * logits).sum(-1) / weights.sum(-1))


def best(asked: Arrays, make_entry: MakeEntry, ids: list[str], *, prefix: str, seed: int, n: int) -> list[str]:
    found = scores(asked[prefix + TEXT_EMBEDDING], [make_entry(id_, seed) for id_ in ids])
    return [ids[place] for place in np.argsort(-found, kind="stable")[:n]]


def test_the_best_of_the_one_are_ranked_by_the_other(
    pair: Pair, record: Callable[..., Arrays], make_entry: MakeEntry
) -> None:
    pair.fill(*map(record, VIDEOS))
    differ = 0
    for seed in range(4):
        asked = question(seed)
        chosen = best(asked, make_entry, VIDEOS, prefix=PREFIX, seed=OTHER, n=LIMIT)
        wanted = best(asked, make_entry, sorted(chosen), prefix="", seed=OWN, n=LIMIT)
        ids, found, told = pair.ask(asked)
        assert ids == wanted
        np.testing.assert_allclose(
            found, scores(asked[TEXT_EMBEDDING], [make_entry(id_, OWN) for id_ in ids]), rtol=2e-3, atol=2e-3
        )
        # By itself the model would have found others.
        differ += ids != best(asked, make_entry, VIDEOS, prefix="", seed=OWN, n=LIMIT)
        assert told == {
            "system": "dong2026",
            "fingerprint": "model-b",
            "version": pair.chooser.version,
            "chosen": LIMIT,
            "missing": [],
            "unlisted": 0,
        }
    assert differ
    assert compared(pair.own, pair.other) == []
    assert pair.ask(question(top=1))[0] == pair.ask(question())[0][:1]


def test_what_either_gallery_lacks_is_told(pair: Pair, record: Callable[..., Arrays], make_entry: MakeEntry) -> None:
    pair.fill(*map(record, VIDEOS))
    ids, _, _ = pair.ask(question())
    pair.index.gallery.remove([ids[0]])
    alone = replace(
        make_entry("alone", OWN), tensors={FRAME_EMBEDDINGS: make_entry("alone", OWN).tensors[FRAME_EMBEDDINGS]}
    )
    version = pair.index.gallery.add([alone]).version
    until(lambda: pair.search.snapshot.view.version >= version)
    left, _, told = pair.ask(question())
    assert left == ids[1:]
    assert (told["chosen"], told["missing"], told["unlisted"]) == (LIMIT, [ids[0]], 1)
    assert compared(pair.own, pair.other) == [
        f"1 of {pair.own}, e.g. 'alone', are not in {pair.other}: no search finds them that doesn't name them as "
        "candidates",
        f"1 of {pair.other}, e.g. {ids[0]!r}, are not in {pair.own}: where they are chosen, they are left out and "
        "answers say so",
        "framesift index, with this server, fills both galleries",
    ]
    # Named, it is found, and nothing is said to have chosen it.
    assert pair.ask(question(candidates=("alone",)))[0::2] == (["alone"], {})
    refused = pair.refused(question(candidates=(ids[0],)))
    assert str(refused) == f"the gallery has no video {ids[0]!r}, which the search names as a candidate"
    pair.index.gallery.remove(VIDEOS)
    pair.chooser.remove(VIDEOS)
    until(lambda: pair.search.snapshot.view.count == 1)
    assert pair.ask(question()) == ([], [], {**told, "chosen": 0, "missing": [], "version": pair.chooser.version})


def test_a_video_that_the_gallery_shows_can_be_chosen_at_once(pair: Pair, record: Callable[..., Arrays]) -> None:
    for n in range(LIMIT):
        pair.fill(record(f"w{n}"))
        ids, _, told = pair.ask(question(n))
        assert (sorted(ids), told["chosen"]) == ([f"w{k}" for k in range(n + 1)], n + 1)


def test_a_video_is_there_once_both_galleries_have_its_file(
    pair: Pair, record: Callable[..., Arrays], make_entry: MakeEntry
) -> None:
    pair.fill(record("a"), record("b"), record("c"))
    assert pair.present("a", "b", "c", "d") == [True, True, True, False]
    pair.chooser.remove(["a"])
    pair.chooser.add([replace(make_entry("b", OTHER), digest=bytes(32))])
    assert pair.present("a", "b", "c", "d") == [False, False, True, False]


def test_a_record_that_the_one_can_not_keep_is_kept_by_neither(pair: Pair, record: Callable[..., Arrays]) -> None:
    broken = record("broken")
    broken[PREFIX + MEAN_EMBEDDING] = np.full_like(broken[PREFIX + MEAN_EMBEDDING], np.nan)
    answers = pair.index.run([record("good"), broken])
    assert [isinstance(answer, InvalidRequest) for answer in answers] == [False, True]
    assert compared(pair.own, pair.other) == []
    asked = question()
    asked[PREFIX + TEXT_EMBEDDING] = np.full((1, DIM), np.inf, np.float32)
    assert isinstance(pair.refused(asked), InvalidQuery)


def test_what_can_not_be_written_to_the_one_is_not_written_to_the_other(
    pair: Pair, record: Callable[..., Arrays]
) -> None:
    pair.fill(record("a"))
    (pair.other / ".lock").unlink()
    (pair.other / ".lock").mkdir()
    (answer,) = pair.index.run([record("b")])
    assert isinstance(answer, GalleryError)
    assert pair.index.gallery.count == 1


def test_a_filter_narrows_what_is_chosen_from(pair: Pair, record: Callable[..., Arrays], make_entry: MakeEntry) -> None:
    pair.fill(*map(record, VIDEOS))
    left = VIDEOS[1:6]
    options = json.dumps({"where": "id >= 'v1' and id != 'v6'"}).encode()
    for seed in range(3):
        asked = question(seed)
        chosen = best(asked, make_entry, left, prefix=PREFIX, seed=OTHER, n=LIMIT)
        wanted = best(asked, make_entry, sorted(chosen), prefix="", seed=OWN, n=LIMIT)
        ids, _, told = pair.ask({**asked, OPTIONS: np.frombuffer(options, np.uint8)[None]})
        assert ids == wanted
        assert (told["chosen"], told["missing"], told["unlisted"]) == (LIMIT, [], 0)


def test_segments_of_what_is_chosen_are_hits_of_their_own(
    pair: Pair, record: Callable[..., Arrays], make_entry: MakeEntry
) -> None:
    """Both galleries have the film cut alike, so each of its chosen segments is scored, not one for the film."""

    def segment(number: int) -> Arrays:
        part = Part(number, "draft", segment=Segment(number, LIMIT, number, number + 1))
        made = record("film", segment=part.segment)
        text = {FRAME_EMBEDDINGS: make_entry("film", number).tensors[FRAME_EMBEDDINGS][None]}
        return {**made, **text, PART: pack_rows([part.json().encode()]), SPAN: np.array([part.segment], np.float64)}

    pair.index.run([segment(number) for number in range(LIMIT - 1)])
    pair.fill(segment(LIMIT - 1))
    asked, options = question(), b'{"segments":true}'
    assert pair.ask(asked)[0] == ["film"]
    ids, found, _ = pair.ask({**asked, OPTIONS: np.frombuffer(options, np.uint8)[None]})
    assert ids == ["film"] * LIMIT
    wanted = scores(asked[TEXT_EMBEDDING], [make_entry("film", number) for number in range(LIMIT)])
    np.testing.assert_allclose(found, np.sort(wanted)[::-1], rtol=2e-3, atol=2e-3)


def test_what_is_removed_goes_from_both_galleries(pair: Pair, record: Callable[..., Arrays]) -> None:
    pair.fill(*map(record, VIDEOS))
    ids, changes = ("v0", "v1"), (b'{"delete":true}', b'{"merge":{"year":1999}}')
    named, made = pack_joined([id_.encode() for id_ in ids]), pack_joined(changes)
    request = dict(zip((IDS, ID_LENGTHS, CHANGES, CHANGE_LENGTHS), (*named, *made), strict=True))
    (answer,) = pair.lookup.run([request])
    assert not isinstance(answer, FramesiftError), answer
    assert answer[PRESENT].tolist() == [True, True]
    assert [gallery.count for gallery in (pair.index.gallery, pair.chooser)] == [6, 6]
    # What was changed is of the same file in both.
    assert pair.present(*ids) == [False, True]
    assert compared(pair.own, pair.other) == []
