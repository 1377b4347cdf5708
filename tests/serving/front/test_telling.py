"""What the door tells beside answers: the model and the gallery behind it, and texts that are longer than is read."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from pathlib import Path

import pytest

from framesift import Client
from framesift.export.bundle.manifest import Manifest, TokenizerProfile
from framesift.export.bundle.models import CUT, INDEX_VIDEO
from framesift.export.bundle.store import Bundle
from framesift.export.bundle.text.clip_bpe import ClipTokenizer
from framesift.export.bundle.text.merges_file import clip_merges
from framesift.serving.front.deployment import gallery_told, public_models
from framesift.serving.front.describing import config
from framesift.serving.front.texts import Encoder


@pytest.fixture(scope="module")
def tokenizer() -> ClipTokenizer:
    return ClipTokenizer.load(TokenizerProfile(), clip_merges())


# CLIP reads 75 tokens between the first and the last, and no more than 8,192 characters.
@pytest.mark.parametrize(
    ("text", "cut"),
    [
        ("a dog", False),
        ("dog " * 75, False),
        ("dog " * 76, True),
        ("a" + " " * 9000, False),
        ("a" + " " * 9000 + "b", True),
        ("x" * 20000, True),
    ],
    ids=["short", "as many as are read", "one more", "blanks", "beyond the blanks", "one long word"],
)
def test_a_text_that_is_longer_than_what_is_read_is_known(text: str, cut: bool, tokenizer: ClipTokenizer) -> None:
    assert tokenizer.cuts(text) is cut
    texts = ["a cat", text, "a bird"]

    async def rows() -> list[int]:
        encoder = Encoder(tokenizer)
        return await encoder.cut(texts, await encoder.encode(texts))

    assert asyncio.run(rows()) == ([1] if cut else [])


def test_only_those_who_may_index_are_told_where_the_gallery_lies(manifest: Manifest) -> None:
    public = public_models(manifest, gallery="/srv/gallery")[INDEX_VIDEO]
    told = {name: value["string_value"] for name, value in config(public)["parameters"].items()}
    assert {manifest.system, manifest.fingerprint, "/srv/gallery"} < set(told.values())
    assert config(public, full=False)["parameters"] == {}


def test_a_gallery_is_told_by_its_own_path(tmp_path: Path) -> None:
    (tmp_path / "gäl").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "gäl")
    assert gallery_told(str(tmp_path / "link")) == str(tmp_path / "gäl")
    assert gallery_told(None) == ""


@pytest.mark.server
def test_a_client_learns_what_answers(client: Client, bundle: Bundle, gallery_folder: Path, indexed: list) -> None:
    served = client.served()
    assert (served.system, served.fingerprint) == (bundle.manifest.system, bundle.manifest.fingerprint)
    assert (served.address, served.gallery) == (client.address, str(gallery_folder))
    assert served.count == client.lookup([]).count


@pytest.mark.server
def test_a_search_says_that_its_text_was_cut(client: Client, indexed: list) -> None:
    texts = ["a red circle", "a red circle " * 100, "a blue square", "x" * 20000]
    assert [result.cut for result in client.search_many(texts, top=1)] == [False, True, False, True]
    asked = {
        "inputs": [
            {"name": "text", "datatype": "UINT8", "shape": [1, 400], "data": [*b"dog " * 100]},
            {"name": "text_length", "datatype": "INT32", "shape": [1, 1], "data": [400]},
            {"name": "top", "datatype": "INT32", "shape": [1, 1], "data": [1]},
        ]
    }
    with urllib.request.urlopen(f"http://{client.address}/v2/models/search/infer", json.dumps(asked).encode()) as found:
        assert json.load(found)["parameters"] == {CUT: "0"}
