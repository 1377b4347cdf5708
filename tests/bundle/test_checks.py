"""What may be kept with a video."""

from __future__ import annotations

import re
from typing import Any

import pytest
import regex

from framesift.export.bundle.checks import check_id, dump_metadata
from framesift.export.bundle.errors import InvalidRequest


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"a": float("nan")}, "can't be written as JSON"),
        ({"a": object()}, "can't be written as JSON"),
        ([("a", 1)], "must be an object"),
        ({"a": "x" * 70000}, "the limit is 65536"),
        ({"a": "\ud800"}, "UTF-8"),
    ],
    ids=["nan", "object", "list", "long", "surrogate"],
)
def test_metadata_that_is_no_json_object_is_refused(value: Any, said: str) -> None:
    with pytest.raises(InvalidRequest, match=said):
        dump_metadata(value)


def test_metadata_keeps_its_text() -> None:
    assert dump_metadata({"title": "Ünï", "year": 1999}) == '{"title":"Ünï","year":1999}'


def test_no_id_holds_what_is_drawn_as_nothing() -> None:
    hidden = regex.findall(r"\p{Default_Ignorable_Code_Point}", "".join(map(chr, range(0x110000))))
    assert len(hidden) == 4174
    for character in (*hidden, "\u2800"):
        with pytest.raises(InvalidRequest, match=rf"U\+{ord(character):04X}: remove it"):
            check_id(f"a{character}b")


def test_no_other_character_is_taken_for_one() -> None:
    for value in (
        "\u00e9 \u5706.mp4",
        "\ud55c\uae00",
        "a\u0301",
        "\u2764\ufe0f.mp4",
        "1\ufe0f\u20e3 intro",
        "\u00a9\ufe0e",
        "\u200a".join("ab"),
    ):
        assert check_id(value) == value
    # Behind a letter the same characters change nothing.
    for value in ("a\ufe0f", "\ufe0fa", "\u2764\ufe0f\ufe0f", "1\ufe0f"):
        with pytest.raises(InvalidRequest, match=re.escape("is drawn as nothing")):
            check_id(value)
