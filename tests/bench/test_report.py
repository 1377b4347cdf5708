"""The report is drawn from rows alone, and the documents show the committed ones."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from framesift.__main__ import main
from framesift.bench.report import load_tables
from framesift.bench.report.cells import Tabling, markdown
from framesift.bench.report.documents import DOCUMENTS, PLACES, filled
from framesift.bench.report.page import SECTIONS, page, pictures
from framesift.bench.report.pictures import roofline_point
from framesift.bench.report.results import Results
from framesift.bench.schema.files import RESULTS, write
from framesift.bench.schema.kinds import GPU_SCORING
from framesift.bench.schema.load import Percentiles, PerfAnalyzerFigures, ProcessUse, ServerUse

from .reports import window


def linked(tmp_path: Path, without: str) -> Path:
    """The committed results but for the files that begin so."""
    folder = tmp_path / "linked"
    folder.mkdir()
    for path in RESULTS.iterdir():
        if not path.name.startswith(without):
            (folder / path.name).symlink_to(path)
    return folder


def test_documents_that_show_other_results_are_told(tmp_path: Path) -> None:
    """That they show the committed ones is checked by `make types`."""
    kept, folder = max(RESULTS.glob("gpu_scoring_*.jsonl")), linked(tmp_path, "gpu_scoring")
    changed = kept.read_text(encoding="utf-8").replace('"p50_ms": 4.5', '"p50_ms": 9.5')
    (folder / kept.name).write_text(changed, encoding="utf-8")
    refused = CliRunner().invoke(main, ["bench", "report", "--check", "--results", str(folder)])
    assert refused.exit_code == 1
    assert "| 1 | float16 |" in refused.output
    assert "9.51 ms" in refused.output


def test_a_place_without_a_result_and_a_result_without_a_place_are_told(tmp_path: Path) -> None:
    for name in DOCUMENTS:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("nothing\n", encoding="utf-8")
    places = "".join(f"<!-- {name} -->\nWHAT STOOD HERE\n<!-- /{name} -->\nbetween\n" for name in PLACES)
    (tmp_path / "README.md").write_text(places, encoding="utf-8")
    text = filled(tmp_path, Results(RESULTS))[tmp_path / "README.md"]
    assert "WHAT STOOD HERE" not in text
    assert text.count("between") == len(PLACES)
    none = Results(tmp_path / "none")
    (tmp_path / "README.md").write_text("<!-- storage -->\n<!-- /storage -->\n", encoding="utf-8")
    with pytest.raises(ValueError, match="has a place for storage, which no result fills"):
        filled(tmp_path, none)
    (tmp_path / "README.md").write_text("<!-- demo -->\n<!-- /demo -->\n", encoding="utf-8")
    with pytest.raises(ValueError, match="no document has a place for ablation, .*, soak"):
        filled(tmp_path, none)


def test_every_section_is_drawn_or_says_what_measures_it(tmp_path: Path) -> None:
    results = Results(linked(tmp_path, "soak"))
    drawn = pictures(results)
    text = page(results, drawn)
    assert [section.title for section in SECTIONS] == re.findall(r"<h2[^>]*>([^<]*)</h2>", text)
    shown = re.findall(r'<img alt="[^"]+" src="data:image/png;base64,([^"]+)"', text)
    assert [base64.b64decode(picture) for picture in shown] == list(drawn.values())
    assert drawn
    absent = re.findall(r"Not measured; <code>framesift bench (\w+) --results FOLDER</code> does", text)
    assert absent == ["soak"]
    empty = page(Results(tmp_path), {})
    assert empty.count("Not measured") == len(SECTIONS)


def test_the_command_writes_a_page_and_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(main, ["bench", "report", "--out", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"index.html", "roofline.png"} <= written
    assert done.output.split() == [str(tmp_path / "out" / Path(name).name) for name in done.output.split()]
    none = CliRunner().invoke(main, ["bench", "report", "--results", str(tmp_path / "nothing")])
    assert none.exit_code == 1
    assert f"measure some first, as with `framesift bench stages --results {tmp_path / 'nothing'}`" in none.output


def test_a_table_holds_what_its_rows_say(tmp_path: Path) -> None:
    processes = {"text_encoder": ProcessUse(2.0, 99.6, 1.5), "tritonserver": ProcessUse(0.5, 50.0)}
    row = window(
        loop="closed",
        concurrency=4,
        qps=123.4,
        latency=Percentiles(1.26, 2.0, None, 9.0),
        refused=7,
        server=ServerUse(processes=processes, compute_share=0.876),
    )
    write("load", [row], tmp_path / "plain")
    results = Results(tmp_path / "plain")
    found = load_tables.load(results)
    assert found is not None
    assert found[1] == ["m", "4 at a time", "123", "1.3", "2.0", "", "9.0", "7", "88%"]
    assert load_tables.compute(results) == [
        ["model", "process", "CPU s", "its own work", "memory"],
        ["m", "text_encoder", "2.00", "75%", "100 MB"],
        ["m", "tritonserver", "0.50", "", "50 MB"],
        ["m", "all, at 123 queries/s", "", "88%", ""],
    ]
    assert markdown(found).splitlines()[1] == f"| --- | --- |{' ---: |' * 3} --- |{' ---: |' * 3}"
    theirs = PerfAnalyzerFigures(119.6, 1.31, 2.0)
    measured = [replace(row, perf_analyzer=it) for it in (None, theirs, PerfAnalyzerFigures(failed="refused"))]
    write("load", measured, tmp_path / "beside")
    beside = load_tables.load(Results(tmp_path / "beside"))
    assert beside is not None
    assert [line[9:] for line in beside[1:]] == [["", "", ""], ["120", "1.3", ""], ["failed", "", ""]]


def test_a_point_lies_as_far_below_the_roof_as_its_time_is_above_the_floor() -> None:
    for row in Results(RESULTS).of(GPU_SCORING):
        place, rate = roofline_point(row)
        roof = min(place * row.copy_bytes_per_s, row.matrix_flop_per_s)
        assert rate / roof == pytest.approx(row.floor_ms / row.p50_ms, rel=1e-3)


@pytest.mark.parametrize("table", [section.table for section in SECTIONS if section.table])
def test_without_rows_there_is_no_table(table: Tabling, tmp_path: Path) -> None:
    assert table(Results(tmp_path)) is None


@pytest.mark.parametrize("name", [name for name in PLACES if name != "headline"])
def test_without_rows_a_place_says_so(name: str, tmp_path: Path) -> None:
    place: Callable[[Any], str] = PLACES[name]
    assert re.fullmatch("Not (measured|run) yet.", place(Results(tmp_path)))
