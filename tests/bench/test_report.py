"""The report is drawn from rows alone, and the README shows the committed ones."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from framesift.__main__ import main
from framesift.bench.report import tables
from framesift.bench.report.figures import roofline_point
from framesift.bench.report.page import SECTIONS, page, pictures, results
from framesift.bench.rows import RESULTS


def test_the_readme_shows_the_committed_results(tmp_path: Path) -> None:
    shown = CliRunner().invoke(main, ["bench", "report", "--check"])
    assert shown.exit_code == 0, shown.output
    kept = max(RESULTS.glob("gpu_scoring_*.jsonl"))
    for path in RESULTS.iterdir():
        if path != kept:
            (tmp_path / path.name).symlink_to(path)
    changed = kept.read_text(encoding="utf-8").replace('"p50_ms": 4.5', '"p50_ms": 9.5')
    (tmp_path / kept.name).write_text(changed, encoding="utf-8")
    refused = CliRunner().invoke(main, ["bench", "report", "--check", "--results", str(tmp_path)])
    assert refused.exit_code == 1
    assert "| 1 | float16 |" in refused.output
    assert "9.51 ms" in refused.output


def test_every_section_is_drawn_or_says_what_measures_it(tmp_path: Path) -> None:
    rows = results(RESULTS)
    drawn = pictures(rows)
    text = page(rows, drawn)
    assert [section.title for section in SECTIONS] == re.findall(r"<h2[^>]*>([^<]*)</h2>", text)
    shown = re.findall(r'<img alt="[^"]+" src="data:image/png;base64,([^"]+)"', text)
    assert [base64.b64decode(picture) for picture in shown] == list(drawn.values())
    assert drawn
    absent = {section.command for section in SECTIONS if not rows[section.kind]}
    assert absent == set(re.findall(r"Not measured; <code>framesift bench (\w+) --results FOLDER</code> does", text))
    empty = page(dict.fromkeys(rows, ()), {})
    assert empty.count("Not measured") == len(SECTIONS)


def test_the_command_writes_a_page_and_pictures(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["bench", "report", "--out", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"index.html", "roofline.png"} <= written
    assert done.output.split() == [str(tmp_path / "out" / Path(name).name) for name in done.output.split()]
    none = CliRunner().invoke(main, ["bench", "report", "--results", str(tmp_path / "nothing")])
    assert none.exit_code == 1
    assert f"measure some first, as with `framesift bench stages --results {tmp_path / 'nothing'}`" in none.output


def test_a_table_holds_what_its_rows_say(tmp_path: Path) -> None:
    row = {"model": "m", "scenario": "search", "loop": "closed", "concurrency": 4, "knee": False, "qps": 123.4}
    row |= {"p50_ms": 1.26, "p95_ms": 2.0, "p99_ms": None, "p999_ms": 9.0, "refused": 7, "compute_share": 0.876}
    row |= {"server": {"text_encoder": {"cpu_s": 2.0, "compute_s": 1.5, "rss_mb": 99.6}}}
    row["server"]["tritonserver"] = {"cpu_s": 0.5, "compute_s": None, "rss_mb": 50.0}
    (tmp_path / "load_2026-01-01.jsonl").write_text(json.dumps(row) + "\n", encoding="utf-8")
    rows = results(tmp_path)
    found = tables.load(rows)
    assert found is not None
    assert found[1] == ["m", "4 at a time", "123", "1.3", "2.0", "", "9.0", "7", "88%"]
    theirs = {"qps": 119.6, "p50_ms": 1.31, "p95_ms": 2.0, "p99_ms": None}
    measured = [{**row, "perf_analyzer": it} for it in (None, theirs, {"failed": "refused"})]
    beside = tables.load({**rows, "load": measured})
    assert beside is not None
    assert [line[9:] for line in beside[1:]] == [["", "", ""], ["120", "1.3", ""], ["failed", "", ""]]
    assert tables.compute(rows) == [
        ["model", "process", "CPU s", "its own work", "memory"],
        ["m", "text_encoder", "2.00", "75%", "100 MB"],
        ["m", "tritonserver", "0.50", "", "50 MB"],
        ["m", "all, at 123 queries/s", "", "88%", ""],
    ]
    assert tables.markdown(found).splitlines()[1].startswith("|")


def test_a_point_lies_as_far_below_the_roof_as_its_time_is_above_the_floor() -> None:
    for row in results(RESULTS)["gpu_scoring"]:
        place, rate = roofline_point(row)
        roof = min(place * row["copy_bytes_per_s"], row["matrix_flop_per_s"])
        assert rate / roof == pytest.approx(row["floor_ms"] / row["p50_ms"], rel=1e-3)


@pytest.mark.parametrize("table", [section.table for section in SECTIONS if section.table])
def test_without_rows_there_is_no_table(table: tables.Tabling) -> None:
    assert table(dict.fromkeys(results(RESULTS), ())) is None
