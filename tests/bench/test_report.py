"""The tables in the README are those of the committed results."""

from __future__ import annotations

from pathlib import Path

from framesift.bench.report.readme import RESULTS, filled

README = Path(__file__).parents[2] / "README.md"


def test_the_readme_shows_the_committed_results() -> None:
    text = README.read_text(encoding="utf-8")
    assert filled(text, RESULTS) == text
