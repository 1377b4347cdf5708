"""Queries are distinct and of many lengths."""

from __future__ import annotations

import numpy as np
import pytest

from framesift.bench.inputs import queries
from framesift.export.bundle.errors import InvalidInput


def test_generated_queries_are_distinct_and_of_many_lengths() -> None:
    made = queries.generate(1500, seed=int(np.random.default_rng().integers(1 << 31)))
    assert len(set(made)) == 1500
    words = [len(query.split()) for query in made]
    assert min(words) == 2
    assert max(words) > 24
    assert len(set(words)) > 8


def test_a_users_queries_are_read_without_repeats(tmp_path) -> None:
    file = tmp_path / "queries.txt"
    file.write_text("a dog\n\n a cat \na dog\n", encoding="utf-8")
    assert queries.read(file) == ["a dog", "a cat"]
    file.write_text("\n \n", encoding="utf-8")
    with pytest.raises(InvalidInput, match="no query"):
        queries.read(file)
