"""The pages of docs/systems: one for every card, with its tables; their commands parse, and their numbers are right."""

from __future__ import annotations

import json
import re
import runpy
import shlex
from pathlib import Path
from typing import Any

import pytest

from framesift.export.bundle.errors import CheckpointError
from framesift.export.commands import export_command
from framesift.export.systems.contract import System
from framesift.export.systems.inspection import inspect
from framesift.export.systems.options import FLAGS
from framesift.export.systems.registry import SYSTEMS, card_of, cards

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "docs" / "render_systems.py"
RENDER = runpy.run_path(str(SCRIPT))
DOCS = ROOT / "docs" / "systems"
PAGES = sorted(path.stem for path in DOCS.glob("*.md") if path.stem != "README")
HEADINGS = ["The model", "Export", "Read and assumed", "Record", "Cost of a pair", "What differs"]
# Frames, token positions, numbers of a vector, layers of a cross-encoder.
LAYERS = {"cross_encoder": 4}


def read(page: str) -> str:
    return (DOCS / f"{page}.md").read_text(encoding="utf-8")


def models(page: str, frames: int = 12, tokens: int = 32) -> list[tuple[str, System]]:
    """The models that a page is about, each with the name of its system."""
    return [
        (card.name, RENDER["published"](card, example, frames, tokens))
        for card in RENDER["cards_of"](page)
        for example in card.examples
    ]


def table(page: str, first: str) -> list[list[str]]:
    """The rows of the first table whose first column is called so, without backticks; numbers without commas."""
    found = re.search(rf"^\| {first} \|.*\n\|[-:| ]+\|\n((?:\|.*\n)+)", read(page), re.MULTILINE)
    assert found is not None
    lines = [line.strip("|").split("|") for line in found[1].splitlines()]
    return [[re.sub(r"[`,]", "", cell).strip() for cell in row] for row in lines]


def accepts(system: System, options: dict[str, Any], name: str) -> bool:
    """Whether a checkpoint of the model can be exported with these options."""
    try:
        inspect(system.state_dict(), name, options).resolve(options)
    except CheckpointError:
        return False
    return True


def written(value: object) -> str:
    """As ``--set`` takes it."""
    return json.dumps(value) if isinstance(value, bool) else str(value)


def test_every_system_has_a_page_with_the_same_headings() -> None:
    assert [card.name for card in cards()] == list(SYSTEMS)
    assert {card.page or card.name for card in cards()} == set(PAGES)
    assert all(re.findall(r"^## (.+)", read(page), re.MULTILINE) == HEADINGS for page in PAGES)


@pytest.mark.parametrize("page", ["README", *PAGES])
def test_a_pages_tables_are_what_the_cards_say(page: str) -> None:
    assert RENDER["rendered"](page, read(page)) == read(page), "run `make docs`"


def test_another_page_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "render_systems.py").write_bytes(SCRIPT.read_bytes())
    (tmp_path / "systems").mkdir()
    (tmp_path / "systems" / "xpool.md").write_text(read("xpool").replace("14,392", "14,391"), encoding="utf-8")
    render = runpy.run_path(str(tmp_path / "render_systems.py"))
    assert render["main"](["--check", "xpool"]) == 1
    assert "xpool.md is not what" in capsys.readouterr().err
    assert render["main"](["xpool"]) == render["main"](["--check", "xpool"]) == 0
    assert (tmp_path / "systems" / "xpool.md").read_text(encoding="utf-8") == read("xpool")


@pytest.mark.parametrize("page", PAGES)
def test_commands_parse_and_their_options_exist(page: str) -> None:
    lines = re.findall(r"^\$ framesift export (.+)", read(page), re.MULTILINE)
    assert lines
    for line in lines:
        given = export_command.make_context("export", shlex.split(line)).params
        flags = {option.name: given[option.name] for option in FLAGS if given[option.name] is not None}
        options = {**flags, **given["options"]}
        assert any(accepts(system, options, given["system"]) for _, system in models(page)), line
    assert set(re.findall(r"--set (\w+)=", read(page))) <= {row[0] for row in table(page, "option")}


@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_lists_is_what_is_assumed_of_such_weights(page: str) -> None:
    inspected = [inspect(system.state_dict(), name) for name, system in models(page)]
    assumed = [{name: value for name, (value, _) in one.assumed.items()} for one in inspected]
    listed = {row[0]: row[1] for row in table(page, "option")}
    assert set(listed) == {name for options in assumed for name in options}
    assert all(value in {written(options.get(name)) for options in assumed} for name, value in listed.items())


@pytest.mark.parametrize("page", PAGES)
def test_a_scorers_formula_gives_the_operations_that_are_counted(page: str) -> None:
    for scorer, frames, tokens, size, formula, count in table(page, "scored by"):
        found = models(page, int(frames), int(tokens))
        system = next(system for _, system in found if system.scorer.name == scorer)
        parts = system.video_record[0].shape
        letters = {"F": int(frames), "W": int(tokens), "D": system.embed_dim, "L": LAYERS.get(scorer, 12)}
        letters |= {"C": parts[0], "T": parts[1] if len(parts) > 2 else 0, "R": 36, "A": 5, "E": 768, "M": 7}
        assert eval(formula, {}, letters) == int(count) == RENDER["operations"](system)
        assert int(size) == RENDER["size"](system)
        assert all(f"`{spec.name}`" in read(page) for spec in (*system.text_record, *system.video_record))


def test_a_system_that_shares_a_page_is_on_it() -> None:
    assert card_of("mugstan").page == "stan"
    assert {row[1] for row in table("README", "page")} == set(SYSTEMS)
