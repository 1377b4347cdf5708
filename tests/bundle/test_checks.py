"""What may be kept with a video."""

from __future__ import annotations

from typing import Any

import pytest

from framesift.export.bundle.checks import dump_metadata
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
