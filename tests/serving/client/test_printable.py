"""What others wrote, on a terminal."""

from __future__ import annotations

import json

import pytest

from framesift.serving.client.printable import json_line, printable

HOSTILE = ("\x1b[2J", "\x9b2J", "a\nb", "\x7f", "\u202egnp.exe", "\u2028", "\U000e0041", "\u200b")


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_that_orders_a_terminal_about_is_printed(text: str) -> None:
    line = json_line({text: [text, {"ü": "圆 🟥"}]})
    assert line.isprintable()
    assert json.loads(line) == {text: [text, {"ü": "圆 🟥"}]}
    assert "圆 🟥" in line
    assert printable(text).isprintable()
