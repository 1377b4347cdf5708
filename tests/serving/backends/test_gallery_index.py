"""The bodies that write to the gallery and look into it, and the texts of their wire."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from framesift.export.bundle.errors import FramesiftError, GalleryError, InvalidRequest
from framesift.export.bundle.manifest import Manifest
from framesift.export.bundle.models import GALLERY_VARIABLE
from framesift.export.bundle.packing import pack_joined, pack_rows
from framesift.export.bundle.ports import (
    COUNT,
    DETAILS,
    DIGEST,
    DIGESTS,
    DURATION,
    ID,
    ID_LENGTHS,
    IDS,
    METADATA,
    PRESENT,
    SOURCE,
    TIMESTAMPS,
    VERSION,
)
from framesift.serving.backends.gallery_index import GalleryIndex
from framesift.serving.backends.gallery_lookup import GalleryLookup
from framesift.serving.gallery.rows import GalleryEntry

MakeEntry = Callable[..., GalleryEntry]
Arrays = dict[str, npt.NDArray[Any]]


@pytest.fixture
def version_folder(tmp_path: Path, folder: Path, manifest: Manifest, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "manifest.json").write_text(manifest.to_json())
    monkeypatch.setenv(GALLERY_VARIABLE, str(folder))
    return tmp_path


@pytest.fixture
def index(version_folder: Path) -> GalleryIndex:
    body = GalleryIndex()
    body.setup({}, version_folder)
    return body


@pytest.fixture
def lookup(version_folder: Path) -> GalleryLookup:
    body = GalleryLookup()
    body.setup({}, version_folder)
    return body


def _request(*entries: GalleryEntry) -> Arrays:
    return {
        **{name: np.stack([entry.tensors[name] for entry in entries]) for name in entries[0].tensors},
        TIMESTAMPS: np.stack([entry.timestamps for entry in entries]),
        DURATION: np.array([[entry.duration] for entry in entries], np.float32),
        ID: pack_rows([entry.id.encode() for entry in entries]),
        SOURCE: pack_rows([entry.source.encode() for entry in entries]),
        DIGEST: np.stack([np.frombuffer(entry.digest, np.uint8) for entry in entries]),
        METADATA: pack_rows([entry.metadata.encode() for entry in entries]),
    }


def _lookup(body: GalleryLookup, ids: Sequence[str]) -> Arrays:
    joined, lengths = pack_joined([id_.encode() for id_ in ids])
    (answer,) = body.run([{IDS: joined, ID_LENGTHS: lengths}])
    assert not isinstance(answer, FramesiftError)
    return dict(answer)


def test_requests_of_one_execute_are_one_commit(
    index: GalleryIndex, lookup: GalleryLookup, make_entry: MakeEntry
) -> None:
    before = index.gallery.version
    one, two, many = (
        make_entry("one"),
        make_entry("zwei ☃.mp4", source="/a b/c"),
        [make_entry("3"), make_entry("4")],
    )
    answers = index.run([_request(one), _request(two), _request(*many)])
    for answer, rows in zip(answers, (1, 1, 2), strict=True):
        assert not isinstance(answer, FramesiftError)
        assert answer[VERSION].tolist() == [[before + 1]] * rows
        assert answer[COUNT].tolist() == [[4]] * rows
        assert answer[VERSION].dtype == answer[COUNT].dtype == np.int64
    found = _lookup(lookup, ["zwei ☃.mp4", "absent", "3"])
    assert found[PRESENT].tolist() == [True, False, True]
    assert found[DIGESTS].tobytes() == two.digest + bytes(32) + many[0].digest
    assert (found[COUNT].tolist(), found[VERSION].tolist()) == ([4], [before + 1])


def test_a_record_that_can_not_be_kept_does_not_touch_the_others(
    index: GalleryIndex, lookup: GalleryLookup, make_entry: MakeEntry
) -> None:
    broken = make_entry("broken")
    next(iter(broken.tensors.values()))[0] = np.nan
    not_utf8 = _request(make_entry("x"))
    not_utf8[ID] = np.frombuffer(b"\xff\xfe", np.uint8)[None]
    answers = index.run(
        [
            _request(make_entry("good")),
            _request(make_entry("")),
            _request(broken),
            not_utf8,
            _request(make_entry("list", metadata="[]")),
        ]
    )
    assert [isinstance(answer, InvalidRequest) for answer in answers] == [False, True, True, True, True]
    assert [str(answer).split(":")[0] for answer in answers[1:4]] == [
        "the id is empty",
        "frame_embeddings of 'broken' holds values that are not finite in float16",
        "the id is not UTF-8",
    ]
    assert _lookup(lookup, ["good"])[COUNT].tolist() == [1]
    assert all(isinstance(answer, InvalidRequest) for answer in index.run([not_utf8, not_utf8]))


def test_a_gallery_that_can_not_be_written_fails_every_request(
    index: GalleryIndex, folder: Path, make_entry: MakeEntry
) -> None:
    (folder / ".lock").unlink()
    (folder / ".lock").mkdir()
    answers = index.run([_request(make_entry("")), _request(make_entry("a"))])
    assert [type(answer) for answer in answers] == [InvalidRequest, GalleryError]


def test_no_ids_ask_for_the_gallerys_size_alone(lookup: GalleryLookup) -> None:
    answer = _lookup(lookup, [])
    assert {name: values.shape for name, values in answer.items()} == {
        PRESENT: (0,),
        DETAILS: (0,),
        DIGESTS: (0, 32),
        COUNT: (1,),
        VERSION: (1,),
    }


@pytest.mark.parametrize("id_", ["", "a\0b", "a\nb", "';", "\\"])
def test_any_text_can_be_looked_up(lookup: GalleryLookup, id_: str) -> None:
    assert _lookup(lookup, [id_])[PRESENT].tolist() == [False]


@pytest.mark.parametrize(
    ("joined", "lengths", "said"),
    [
        (b"abc", [-1, 4], "negative"),
        (b"abc", [2], "add up to 2"),
        (b"abc", [2, 2], "add up to 4"),
        (b"\xff", [1], "UTF-8"),
    ],
)
def test_lengths_that_do_not_fit_are_refused(
    lookup: GalleryLookup, joined: bytes, lengths: list[int], said: str
) -> None:
    (answer,) = lookup.run([{IDS: np.frombuffer(joined, np.uint8), ID_LENGTHS: np.array(lengths, np.int32)}])
    assert isinstance(answer, InvalidRequest)
    assert said in str(answer)


def test_a_server_without_a_gallerys_folder_says_so(version_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(GALLERY_VARIABLE)
    with pytest.raises(GalleryError, match=f"{GALLERY_VARIABLE} is not set"):
        GalleryLookup().setup({}, version_folder)
