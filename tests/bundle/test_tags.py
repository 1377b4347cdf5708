"""Tags beside a film: JSON of texts by expert, to token ids and a mask."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from framesift.export.bundle.errors import InvalidFeatures
from framesift.export.bundle.features.profile import FeatureArray, FeatureProfile
from framesift.export.bundle.features.reading import read_features
from framesift.export.bundle.features.rules import TAGS
from framesift.export.bundle.features.tags import read_tags
from framesift.export.bundle.manifest import TokenizerProfile
from framesift.export.bundle.spec import TensorSpec
from framesift.export.bundle.text.clip_bpe import ClipTokenizer

PROFILE = FeatureProfile(TAGS, tuple(FeatureArray(name, ("tags",), optional=True) for name in ("object", "ocr")))
PORTS = {"tag_ids": TensorSpec("tag_ids", "int64", (3, 6)), "tag_mask": TensorSpec("tag_mask", "float32", (3,))}
TOKENIZER = ClipTokenizer([], replace(TokenizerProfile(), context_length=6, buckets=(6,)))


def packed(value: Any) -> memoryview:
    return memoryview(value if isinstance(value, bytes) else json.dumps(value).encode())


def test_tags_come_in_the_order_of_the_experts() -> None:
    assert read_tags(packed({"ocr": ["Exit"], "object": ["dog", "ball"]}), PROFILE) == ["dog", "ball", "Exit"]


def test_the_first_are_kept_and_what_is_missing_is_masked() -> None:
    made = read_features(packed({"object": ["a", "bc"]}), PROFILE, PORTS, TOKENIZER)
    assert made["tag_mask"].tolist() == [1, 1, 0]
    assert made["tag_ids"][:2].tolist() == TOKENIZER.encode(["a", "bc"]).tolist()
    assert not made["tag_ids"][2].any()
    many = read_features(packed({"object": ["a"] * 9}), PROFILE, PORTS, TOKENIZER)
    assert many["tag_mask"].tolist() == [1, 1, 1]


def test_a_film_without_tags_has_none() -> None:
    for nothing in ({}, {"object": []}):
        made = read_features(packed(nothing), PROFILE, PORTS, TOKENIZER)
        assert not made["tag_mask"].any()
        assert not made["tag_ids"].any()


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (b"", "is not JSON"),
        (b"\xff\xfe", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        ([], "the tags are a JSON list: give an object of object, ocr"),
        ({"smell": ["rose"]}, "has no tags of 'smell'; it has those of object, ocr"),
        ({"object": "dog"}, "the tags of object are str: give a list of texts"),
        ({"object": ["dog", 3]}, "a tag of object can't be read: the text is int"),
        ({"object": [" "]}, "a tag of object can't be read: the text is empty"),
        ({"object": ["x" * (1 << 20)]}, "the limit is 1048576"),
    ],
)
def test_what_is_no_list_of_tags_is_refused(value: Any, said: str) -> None:
    with pytest.raises(InvalidFeatures) as raised:
        read_tags(packed(value), PROFILE)
    assert said in str(raised.value)
