"""Filters: what they mean by a reference of Python's own, what is refused and where, and that rankings lose no hit."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from framesift.export.bundle.errors import InvalidRequest
from framesift.export.bundle.limits import MAX_FIELDS
from framesift.export.bundle.manifest import Manifest
from framesift.export.bundle.ports import FRAME_EMBEDDINGS, METADATA, TEXT_EMBEDDING
from framesift.export.bundle.segments import Segment
from framesift.serving.gallery.editing import Change, edit
from framesift.serving.gallery.rows import GalleryEntry
from framesift.serving.gallery.store import Gallery
from framesift.serving.search import snapshot as snapshots
from framesift.serving.search.facts import Facts, Piece
from framesift.serving.search.filters.grammar import Every, Filter, Not, Some, Test
from framesift.serving.search.filters.matching import Matcher
from framesift.serving.search.filters.parser import parse
from framesift.serving.search.past import MARK_BYTES, Cursor
from framesift.serving.search.ranking import GraphRanker
from framesift.serving.search.selecting import Selector
from framesift.serving.search.snapshot import Snapshot

from ..toy_scorer import DIM, FRAMES

MakeEntry = Callable[..., GalleryEntry]
Video = dict[str, Any]

MEANS = [
    ("duration < 30", Test(("duration",), "<", (30.0,), 1, (12,))),
    ("  a.b-c = 'it''s'", Test(("a", "b-c"), "=", ("it's",), 3, (11,))),
    ('`two words` IN ("x", -1.5e2, TRUE)', Test(("two words",), "in", ("x", -150.0, True), 1, (17, 22, 30))),
    ("metadata.year exists", Test(("year",), "exists", (), 1, ())),
    *(
        (f"metadata.{name} exists", Test(("metadata", *name.split(".")), "exists", (), 1, ()))
        for name in ("id", "segment.number", "segment.start", "segment.end", "segment", "metadata", "metadata.year")
    ),
    ("x not in (1)", Not(Test(("x",), "in", (1.0,), 1, (11,)))),
    ("not x has 1", Not(Test(("x",), "has", (1.0,), 5, (11,)))),
    (
        "a=1 or b=2 and not (c=3)",
        Some((parse("a=1"), Every((Test(("b",), "=", (2.0,), 8, (10,)), Not(Test(("c",), "=", (3.0,), 21, (23,))))))),
    ),
]


@pytest.mark.parametrize(("text", "wanted"), MEANS, ids=[text for text, _ in MEANS])
def test_what_a_filter_says(text: str, wanted: Filter) -> None:
    assert parse(text) == wanted


@pytest.mark.parametrize(
    ("text", "at", "said"),
    [
        ("duration", 9, "the end where a comparison"),
        ("duration <", 11, "the end where a text, a number"),
        ("duration < 30 and", 18, "the end where a field"),
        ("duration < 30 30", 15, "'30' where and, or, or the end"),
        ("(duration < 30", 15, "the end where '\\)'"),
        ("duration == 30", 11, "'=' where a text"),
        ("channel = news", 11, "put texts in quotes"),
        ("channel = 'news", 11, "quote does not end"),
        ("year '=' 5", 6, "'=' where a comparison"),
        ('year "<" 5', 6, "'<' where a comparison"),
        ("year 'has' 5", 6, "'has' where a comparison"),
        ("year `has` 5", 6, "'has' where a comparison"),
        ("year 'exists'", 6, "'exists' where a comparison"),
        ("year `in` (5)", 6, "'in' where a comparison"),
        ("year in '(' 5)", 9, "'\\(' where '\\('"),
        ("'not' year = 5", 1, "'not' where a field"),
        ("year = 5 'and' year = 6", 10, "'and' where and, or, or the end"),
        ("year = 5 `or` year = 6", 10, "'or' where and, or, or the end"),
        ("a '.' b = 5", 3, "'.' where a comparison"),
        ("channel ~ 'news'", 9, "no word of a filter"),
        ("30 < duration", 1, "'30' where a field"),
        ("x in ()", 7, "'\\)' where a text"),
        ("x not has 1", 7, "'has' where 'in'"),
        ("x < 1e999", 5, "larger than any number"),
        ("x < 1abc", 5, "no word"),
        ("x = 1; drop", 6, "no word"),
        ("__import__('os').system('x') = 1", 11, "'\\(' where a comparison"),
        ("x.y. = 1", 6, "'=' where a field"),
        ("and = 1", 1, "'and' where a field"),
        ("not " * 33 + "x exists", 129, "more than 32 deep"),
        ("(" * 4000, 33, "more than 32 deep"),
        (" or ".join(["x exists"] * 33), 385, "more than 32 tests"),
    ],
    ids=lambda value: value[:24] if isinstance(value, str) else None,
)
def test_what_is_no_filter_is_refused_with_the_place(text: str, at: int, said: str) -> None:
    with pytest.raises(InvalidRequest, match=rf"^the filter at character {at}: .*{said}"):
        parse(text)


@pytest.mark.parametrize("text", ["", " \n"])
def test_an_empty_filter_is_refused_with_what_to_write(text: str) -> None:
    with pytest.raises(InvalidRequest, match="the filter is empty: write one, such as .*, or leave it out"):
        parse(text)


def test_a_filter_has_a_limit() -> None:
    parse("x in (" + ",".join(["1"] * 2000) + ")")
    for text in ("x = '" + "y" * 4092 + "'", "x = '" + "é" * 2046 + "'", "x = '\ud800'" + " " * 4096):
        with pytest.raises(InvalidRequest, match="more than 4096 bytes"):
            parse(text)


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="xyd .()<>=!,'\"`-+0123456789eandornotihsx\n\u00e9\u2603\ud800", max_size=60))
def test_any_text_is_a_filter_or_refused(text: str) -> None:
    said = ""
    try:
        parse(text)
    except InvalidRequest as error:
        said = str(error)
    assert not said or said.startswith("the filter")


def truth(filter_: Filter, video: Video) -> bool:
    """What a filter means, row by row."""
    match filter_:
        case Not(part):
            return not truth(part, video)
        case Every(parts):
            return all(truth(part, video) for part in parts)
        case Some(parts):
            return any(truth(part, video) for part in parts)
    here: Any = video
    for name in filter_.field:
        here = here.get(name) if isinstance(here, dict) else None
    if here is None:
        return False
    if filter_.sign == "exists":
        return True
    same = [value for value in filter_.values if alike(here, value)]
    match filter_.sign:
        case "=" | "in":
            return any(here == value for value in same)
        case "!=":
            return not any(here == value for value in same)
        case "has":
            items = here if isinstance(here, list) else [here]
            return any(alike(item, value) and item == value for item in items for value in filter_.values)
    order = {"<": lambda a, b: a < b, "<=": lambda a, b: a <= b, ">": lambda a, b: a > b, ">=": lambda a, b: a >= b}
    return any(order[filter_.sign](here, value) for value in same)


def alike(one: Any, other: Any) -> bool:
    kinds = (bool, str, list, dict)
    return next((k for k in kinds if isinstance(one, k)), float) is next(
        (k for k in kinds if isinstance(other, k)), float
    )


WORDS = ["news", "sport", "é", "it's", "", "a b"]
VALUES: dict[str, list[Any]] = {
    "channel": WORDS,
    "year": [1998, 1999, 2000.5, -3],
    "tweet": [2**60, 2**60 + 1, -(2**62) - 1, 2.0**60, 2**53 + 1, 7, [2**60 + 1]],
    "hash": [2**64 - 1, 2**64, -(2**64) - 1, 10**400, 1e300, 0.5],
    "live": [True, False],
    "tags": [[], ["news"], ["news", "sport"], "sport", ["é", 1999, True]],
    "mixed": ["news", 1999, True, None, ["news"], {"deep": 1}],
    "camera": [{"lens": 35}, {"lens": "wide"}, {"lens": None}, {}, "none"],
}
TESTS = [
    *(f"channel {sign} '{word}'" for sign in ("=", "!=", "<", ">=") for word in ("news", "é", "it''s", "")),
    *(f"year {sign} {year}" for sign in ("=", "!=", "<", "<=", ">", ">=") for year in (1999, 2000.5, 0)),
    *(f"tweet {sign} {2**60 + 1}" for sign in ("=", "!=", "<", "<=", ">", ">=", "has")),
    *(f"tweet {sign} {2**60}" for sign in ("=", "<=", ">", "has")),
    *(f"tweet in ({2**60 + 1}, 7, {2**70 + 1})", f"tweet > {2**53}.0", f"tweet < {2**70 + 1}", "tweet >= -1e30"),
    *(f"tweet <= {-(2**70) - 1}", f"tweet = {2**70 + 1}", f"tweet != {2**63}", f"tweet >= {-(2**62) - 1}"),
    *(f"hash {sign} {2**64 - 1}" for sign in ("=", "!=", "<", "<=", ">", ">=")),
    *(f"hash in ({2**64}, {2**64 - 1})", "hash > 1e300", "hash < 0.6", f"hash > {-(2**64)}"),
    *("live = true", "live != true", "tags has 'sport'", "tags has 1999", "tags has true", "not tags exists"),
    *("channel in ('news', 'a b')", "year not in (1999, 1998)", "mixed = 1999", "mixed != 'news'", "mixed has true"),
    *("camera.lens = 35", "camera.lens exists", "camera exists", "camera.lens != 'wide'", "mixed.deep exists"),
    *("duration < 12.3", "duration = 12.3", "duration != 12.3", "duration in (12.3, 7)", "not duration exists"),
    *(
        "id = 'v3'",
        "id >= 'v2'",
        "source exists",
        "source != '/a'",
        "source in ('/a', '/b')",
        "year = 1999 or id = 'v1'",
    ),
]


def random_filter(chance: random.Random, depth: int = 3) -> str:
    kind = chance.random()
    if depth == 0 or kind < 0.4:
        return chance.choice(TESTS)
    if kind < 0.55:
        return f"not ({random_filter(chance, depth - 1)})"
    word = chance.choice((" and ", " or "))
    return "(" + word.join(random_filter(chance, depth - 1) for _ in range(chance.randint(2, 3))) + ")"


@pytest.fixture
def gallery(folder: Path, manifest: Manifest) -> Iterator[Gallery]:
    with Gallery.open(folder, manifest) as opened:
        yield opened


class Scorer:
    """Scores by the best frame. Many scores are equal."""

    attends = False

    def score(self, text: Any, records: Any) -> tuple[np.ndarray, None]:
        logits = np.einsum("qd,vfd->qvf", text[TEXT_EMBEDDING], records[FRAME_EMBEDDINGS].astype(np.float32))
        return np.round(logits.max(-1), 1), None


def test_the_best_of_a_filter_are_a_full_ranking_filtered(
    gallery: Gallery, make_entry: MakeEntry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshots, "_DEAD_ROWS", 8)
    chance = random.Random(7)
    facts = Facts(gallery.reader())
    snapshot = Snapshot(gallery.reader(), [FRAME_EMBEDDINGS], facts=facts)
    selector, ranker = Selector(snapshot, facts), GraphRanker(Scorer(), FRAMES)
    videos: dict[str, Video] = {}

    def metadata() -> dict[str, Any]:
        return {name: chance.choice(values) for name, values in VALUES.items() if chance.random() < 0.7}

    def add(count: int) -> None:
        entries = []
        for _ in range(count):
            id_, facts_ = f"v{chance.randrange(200)}", metadata()
            own = {"duration": chance.choice((0.0, 7.0, 12.3, 400.0)), "source": chance.choice(("", "/a", "/b"))}
            entries.append(make_entry(id_, seed=chance.randrange(9), metadata=json.dumps(facts_), **own))
            videos[id_] = {**facts_, "id": id_, "source": own["source"] or None, "duration": own["duration"] or None}
        gallery.add(entries)

    add(150)
    searched = narrowed = 0
    for _ in range(8):
        add(chance.choice((1, 20)))
        gone = chance.sample(sorted(videos), 5)
        gallery.remove(gone)
        for id_ in gone:
            del videos[id_]
        again = {id_: metadata() for id_ in chance.sample(sorted(videos), 3)}
        edit(gallery, {id_: Change(metadata=new) for id_, new in again.items()})
        for id_, new in again.items():
            videos[id_] = {**new, **{name: videos[id_][name] for name in ("id", "source", "duration")}}
        snapshot.refresh()
        view = snapshot.view
        text = {TEXT_EMBEDDING: np.random.default_rng(chance.randrange(99)).standard_normal((1, DIM), np.float32)}
        (full,) = ranker.rank(view, text, [len(videos)])
        order = [view.ids[row] for row in full.rows.tolist()]
        for _ in range(30):
            where, n = random_filter(chance), chance.choice((1, 10, 1000))
            part = selector.part(view, (), where, None)
            (found,) = ranker.rank(part, text, [n])
            meaning = parse(where)
            wanted = [id_ for id_ in order if truth(meaning, videos[id_])]
            assert [view.ids[row] for row in found.rows.tolist()] == wanted[:n], where
            assert part.count == len(wanted)
            searched, narrowed = searched + 1, narrowed + (0 < len(wanted) < len(order))
    assert narrowed > searched / 2


def _opened(gallery: Gallery) -> tuple[Selector, Snapshot]:
    """Whoever narrows a gallery's view, and the view."""
    facts = Facts(gallery.reader())
    snapshot = Snapshot(gallery.reader(), [FRAME_EMBEDDINGS], facts=facts)
    return Selector(snapshot, facts), snapshot


@pytest.fixture
def small(gallery: Gallery, make_entry: MakeEntry) -> tuple[Selector, Snapshot]:
    data = {"channel": "news", "tags": ["a"], "live": True, "year": 1999, "text": "x" * 300, "nothing": None}
    gallery.add([make_entry("v", metadata=json.dumps(data))])
    return _opened(gallery)


@pytest.mark.parametrize(
    ("where", "at", "said"),
    [
        ("chanel = 'news'", 1, "no video has the field chanel; did you mean channel?"),
        ("live = true and zzz exists", 17, "no video has the field zzz; there are channel, duration, id, live, "),
        ("channel = 5", 11, "channel holds texts in this gallery, never numbers"),
        ("year in (1999, 'x')", 16, "year holds numbers in this gallery, never texts"),
        ("tags = 'a'", 8, "tags holds lists of texts in this gallery: write has"),
        ("live < true", 8, "true and false have no order"),
        ("duration = '30'", 12, "duration holds numbers in this gallery, never texts"),
        ("id = 5", 6, "id holds texts"),
        ("nothing = 5", 11, "nothing holds null alone in this gallery"),
        ("metadata.duration = 5", 1, "no video has the field metadata.duration"),
    ],
)
def test_what_does_not_fit_the_gallery_is_refused(
    small: tuple[Selector, Snapshot], where: str, at: int, said: str
) -> None:
    selector, snapshot = small
    with pytest.raises(InvalidRequest, match=rf"^the filter at character {at}: {said}".replace("?", "\\?")):
        selector.part(snapshot.view, (), where, None)


def test_long_texts_are_there_and_equal_nothing(small: tuple[Selector, Snapshot]) -> None:
    selector, snapshot = small
    for where, count in (("text exists", 1), (f"text = '{'x' * 300}'", 0), ("text != 'x'", 1), ("text > 'a'", 0)):
        assert selector.part(snapshot.view, (), where, None).count == count


def test_an_empty_gallery_has_nothing_to_filter(gallery: Gallery) -> None:
    selector, snapshot = _opened(gallery)
    assert selector.part(snapshot.view, (), "anything = 1", None).count == 0


def test_fields_beyond_the_limit_are_named_and_the_others_found(gallery: Gallery, make_entry: MakeEntry) -> None:
    many = {f"field{n}": n for n in range(MAX_FIELDS + 5)}
    gallery.add([make_entry("many", metadata=json.dumps(many)), make_entry("other", metadata='{"late": 1}')])
    selector, snapshot = _opened(gallery)
    assert selector.part(snapshot.view, (), "field7 = 7", None).count == 1
    with pytest.raises(InvalidRequest, match="late.*Of metadata, 1024 fields are told apart"):
        selector.part(snapshot.view, (), "late = 1", None)


def test_metadata_that_is_called_like_a_fact_is_reached(gallery: Gallery, make_entry: MakeEntry) -> None:
    own = {"segment": {"number": 7, "start": 8, "end": 9}, "duration": 1000, "metadata": {"x": 5}, "x": 6}
    gallery.add([make_entry("v", metadata=json.dumps(own))])
    selector, snapshot = _opened(gallery)
    for where in (
        *("metadata.segment.number = 7", "metadata.segment.start = 8", "metadata.segment.end = 9"),
        *("metadata.segment exists", "metadata.duration = 1000", "metadata.metadata.x = 5", "metadata.x = 6", "x = 6"),
    ):
        assert selector.part(snapshot.view, (), where, None).count == 1, where


def test_fields_that_nobody_has_any_more_are_unknown_and_make_room(
    gallery: Gallery, make_entry: MakeEntry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshots, "_DEAD_ROWS", 0)
    many = {f"field{n}": n for n in range(MAX_FIELDS + 5)}
    gallery.add([make_entry("many", metadata=json.dumps(many)), make_entry("other", metadata='{"late": 1}')])
    selector, snapshot = _opened(gallery)
    assert selector.part(snapshot.view, (), "field7 = 7", None).count == 1
    # What is gone is forgotten one sweep after it was swept.
    for gone in ("many", "first", "second"):
        gallery.add([make_entry(name, metadata='{"year": 1999}') for name in ("first", "second")])
        gallery.remove([gone])
        for _ in range(2):
            snapshot.refresh()
    assert selector.part(snapshot.view, (), "late = 1", None).count == 1
    with pytest.raises(InvalidRequest, match="no video has the field field7"):
        selector.part(snapshot.view, (), "field7 = 7", None)


def test_a_field_that_there_was_no_room_for_is_found_in_every_piece(gallery: Gallery, make_entry: MakeEntry) -> None:
    def piece(*texts: dict[str, int]) -> Piece:
        columns = {METADATA: pa.array([json.dumps(text) for text in texts], pa.large_string())}
        return Piece(np.arange(len(texts)), columns, {})

    matcher = Matcher()
    full = piece({f"field{n}": n for n in range(MAX_FIELDS)})
    old, new = piece({"a": 1}, {"late": 1}), piece({"late": 2})
    assert [len(columns) for columns in matcher._of((full, old))] == [MAX_FIELDS, 0]
    assert [set(columns) for columns in matcher._of((old, new))] == [{("a",), ("late",)}, {("late",)}]
    assert matcher._known.kinds.keys() == {("a",), ("late",)}


def test_a_video_that_was_replaced_before_its_facts_were_read_is_found(gallery: Gallery, make_entry: MakeEntry) -> None:
    gallery.add([make_entry(f"v{n}", metadata='{"n": 0}') for n in range(4)])
    facts = Facts(gallery.reader())
    snapshot = Snapshot(gallery.reader(), [FRAME_EMBEDDINGS])
    selector = Selector(snapshot, facts)
    assert selector.part(snapshot.view, (), "n = 0", None).count == 4
    cut = [replace(make_entry("film", metadata='{"n": 1}'), segment=Segment(n, 3, n, n + 1)) for n in range(3)]
    gallery.add([make_entry("v1", metadata='{"n": 1}'), make_entry("v3", metadata='{"n": 1}'), *cut])
    snapshot.refresh()
    before = snapshot.view
    # Between what the view loads and what the facts follow.
    gallery.add([make_entry("v1", metadata='{"n": 2}'), *[replace(row, metadata='{"n": 2}') for row in cut[:3]]])
    gallery.remove(["v3"])
    found = selector.part(before, (), "n = 2", None)
    assert [before.ids[row] for row in found.rows()] == ["v1", "film", "film", "film"]
    assert selector.part(before, (), "n = 0 or n = 2", None).count == 6
    assert selector.part(before, ["v1", "v2"], "n exists", None).count == 2
    assert selector.part(before, (), "segment.number = 2", None).count == 1
    snapshot.refresh()
    assert selector.part(snapshot.view, (), "n = 2", None).count == 4
    # On later pages of that version it is found, too.
    cursor = Cursor(before.version, b"m" * MARK_BYTES, 1, np.empty(0, np.int64))
    assert selector.part(snapshot.view, (), "n = 0 or n = 2", cursor).count == 6


def test_what_is_not_cut_has_no_segment(gallery: Gallery, make_entry: MakeEntry) -> None:
    cut = [replace(make_entry("film"), segment=Segment(n, 2, n, n + 1)) for n in range(2)]
    gallery.add([make_entry("whole"), *cut])
    selector, snapshot = _opened(gallery)
    for where, count in (
        *((f"segment.{name} exists", 2) for name in ("number", "start", "end")),
        *(("segment.number >= 0", 2), ("segment.start = 0", 1), ("segment.end != 2", 1), ("segment.number != 1", 1)),
        *(("not segment.number exists", 1), ("not segment.number = 0", 2)),
    ):
        assert selector.part(snapshot.view, (), where, None).count == count, where
