"""Texts on the wire, in both of their forms."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from framesift.export.bundle.errors import InvalidQuery
from framesift.export.bundle.packing import decode, pack_joined, pack_rows, unpack_joined, unpack_row


@settings(deadline=None)
@given(st.lists(st.text()))
def test_joined_texts_come_back(texts: list[str]) -> None:
    joined, lengths = pack_joined([text.encode() for text in texts])
    assert unpack_joined(joined, lengths, "texts") == texts
    assert unpack_joined(np.append(joined, np.zeros(3, np.uint8)), lengths, "texts") == texts


@settings(deadline=None)
@given(st.lists(st.text(st.characters(exclude_characters="\0", codec="utf-8")), min_size=1))
def test_rows_of_texts_come_back(texts: list[str]) -> None:
    rows = pack_rows([text.encode() for text in texts])
    assert rows.shape == (len(texts), max(1, *(len(text.encode()) for text in texts), 1))
    assert [unpack_row(row, "texts") for row in rows] == texts


def test_bytes_are_read_as_utf8() -> None:
    assert decode("ein Hündchen 🐶".encode(), "text", InvalidQuery) == "ein Hündchen 🐶"
    with pytest.raises(InvalidQuery, match="the text is not UTF-8: invalid start byte at byte 2"):
        decode(b"a \xff", "text", InvalidQuery)
