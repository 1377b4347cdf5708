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
        "\U0001f468\u200d\U0001f469\u200d\U0001f467.mp4",
        "\U0001f469\U0001f3fd\u200d\U0001f680 \U0001f3f3\ufe0f\u200d\U0001f308 \u2764\ufe0f\u200d\U0001f525",
        "\U0001f642\u200d\u2194\ufe0f",
        "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645.mp4",
        "\u062e\u0627\u0646\u0647\u0654\u200c\u0647\u0627",
        "\u0915\u094d\u200d\u0937 \u0dc1\u0dca\u200d\u0dbb\u0dd3 \u0915\u094d\u200c\u0937",
    ):
        assert check_id(value) == value
    # Behind a letter the same characters change nothing.
    for value in ("a\ufe0f", "\ufe0fa", "\u2764\ufe0f\ufe0f", "1\ufe0f"):
        with pytest.raises(InvalidRequest, match=re.escape("is drawn as nothing")):
            check_id(value)


@pytest.mark.parametrize("joiner", "\u200c\u200d")
@pytest.mark.parametrize(
    "joined",
    ["a{}b", "{}\u0647", "\u06cc{}", "\u06cc{0}{0}\u0647", "\u0631{}\u0647", "\u0915\u094d{}", "\u0915{}\u0937"],
)
def test_joiners_that_change_nothing_are_refused(joined: str, joiner: str) -> None:
    with pytest.raises(InvalidRequest, match=rf"a format character at character \d, U\+{ord(joiner):04X}"):
        check_id(joined.format(joiner))


@pytest.mark.parametrize(
    "value",
    ["\u06cc\u200d\u0647", "\u200d\U0001f467", "\U0001f467\u200d", "\U0001f467\u200d\U0001f3fd", "\u00a9\u200d\u00ae"],
)
def test_a_joiner_is_of_two_pictures(value: str) -> None:
    with pytest.raises(InvalidRequest, match=r"U\+200D"):
        check_id(value)
