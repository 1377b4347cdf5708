"""Queries are distinct and of many lengths; checkpoints of random weights are what they are called."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from framesift.bench.inputs import queries
from framesift.bench.inputs.checkpoints import write_published
from framesift.export.bundle.errors import InvalidInput
from framesift.export.checkpoint import load
from framesift.export.systems.examples import examples
from framesift.export.systems.inspection import inspect


def test_generated_queries_are_distinct_and_of_many_lengths() -> None:
    made = queries.generate(1500, seed=7)
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


MODELS = ("table", "rvtr", "mmt of present experts", "actbert", "clip4clip seqTransf", "howto100m")


@pytest.mark.parametrize("name", MODELS)
def test_a_checkpoint_of_any_size_is_the_systems(name: str, tmp_path: Path) -> None:
    """In a smaller size: the published ones take gigabytes."""
    card, example = examples()[name]
    file, *options = write_published(name, tmp_path, sizes=example.sizes)
    given = list(zip(options[::2], options[1::2], strict=True))
    assert given[0] == ("--system", card.name)
    assert all(Path(value).is_file() for option, value in given if option == "--vocab")
    kept = dict(value.split("=") for option, value in given if option == "--set")
    inspection = inspect(load(Path(file)).state, card.name)
    resolved = inspection.resolve({option: json.loads(value) for option, value in kept.items()})
    # Word vectors come from a file of their own.
    assert card.vectors or type(resolved.build()) is type(card.model(example.sizes, example.options))


def test_networks_of_films_are_howto100ms(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="table has no networks that make features of a film"):
        write_published("table", tmp_path, films=True)
    with pytest.raises(InvalidInput, match="there is no model 'vit': there are dong2026"):
        write_published("vit", tmp_path)
