"""What ``framesift search`` prints of hits, and commands that lack an option that they need."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from framesift.__main__ import main
from framesift.serving.client.results import Hit, SearchResult
from framesift.serving.client.search_command import table


def result(*hits: Hit, among: int | None = None) -> SearchResult:
    return SearchResult("a text", hits, 1, among=among)


def hit(id_: str, **facts: object) -> Hit:
    return Hit(id_, 0.5, (1.0, 0.0), (0.0, 1.0), **facts)  # type: ignore[arg-type]


def test_a_hit_of_a_film_that_is_cut_tells_which_segment_it_is() -> None:
    lines = table(result(hit("film", segment=9, start=135.0, end=155.0), hit("clip"))).splitlines()
    assert "segment" in lines[0]
    assert "9: 135 to 155 s" in lines[1]
    assert lines[2].split()[-1] == "clip"
    assert "segment" not in table(result(hit("clip")))


def test_ranks_begin_behind_those_that_were_left_out() -> None:
    lines = table(result(hit("a"), hit("b")), 8).splitlines()
    assert [line.split()[0] for line in lines] == ["rank", "9", "10"]


@pytest.mark.parametrize(("among", "plain", "empty"), [(0, True, True), (0, False, False), (3, True, False)])
def test_an_empty_gallery_is_told_from_a_search_that_finds_nothing(among: int, plain: bool, empty: bool) -> None:
    assert ("the gallery is empty" in table(result(among=among), plain=plain)) is empty


def test_commands_say_which_option_they_lack(tmp_path: Path) -> None:
    films = tmp_path / "films.jsonl"
    films.write_text('{"path": "a.mp4"}\n')
    for arguments, said in (
        (["index", str(films)], "is a manifest, which needs --bundle and --gallery"),
        (["serve", str(tmp_path)], "a bundle needs its gallery: give --gallery"),
        (["serve", "films=bundle"], "is no NAME=BUNDLE:GALLERY"),
    ):
        told = CliRunner().invoke(main, arguments)
        assert (told.exit_code, said in " ".join(told.stderr.split())) == (2, True), told.stderr
