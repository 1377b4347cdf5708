"""Rows: every committed one is read and has a command that writes it, and what is not known is refused."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import click
import pytest

from framesift.__main__ import main
from framesift.bench.report.results import Results
from framesift.bench.schema.codec import decoded, encoded
from framesift.bench.schema.files import RESULTS, RowWriter, newest, read, write
from framesift.bench.schema.kinds import INT8, KINDS, LOAD, STORAGES
from framesift.bench.schema.load import Window
from framesift.bench.schema.row import Kind, Row
from framesift.bench.schema.rows import Storage
from framesift.export.bundle.errors import InvalidInput

from .reports import window

ROOT = RESULTS.parents[1]


@pytest.mark.parametrize("path", sorted(RESULTS.iterdir()), ids=lambda path: path.name)
def test_every_committed_row_is_read_and_written_as_it_stands(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    found = read(path)
    assert lines
    for line, (kind, row) in zip(lines, found, strict=True):
        assert {"kind": kind.name, **encoded(row)} == json.loads(line)
        assert re.fullmatch(rf"{kind.file}_{row.machine.date}\.jsonl", path.name)


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_every_kind_has_a_command_that_writes_it(kind: Kind[Any]) -> None:
    program, *words = kind.command.split()
    if program == "make":
        assert f"\n{words[0]}:" in (ROOT / "Makefile").read_text(encoding="utf-8")
        assert (ROOT / "bench" / f"bench_{kind.name}.py").is_file()
        return
    command: click.Command = main
    for word in words:
        assert isinstance(command, click.Group)
        command = command.commands[word]
    assert "results" in {option.name for option in command.params}
    assert "_".join(words[1:]) == kind.file


def test_a_row_is_written_with_its_machine_and_read_back(tmp_path: Path) -> None:
    rows = [window(qps=float(place), errors={"UNAVAILABLE": 2}) for place in range(3)]
    path = write("load", rows, tmp_path)
    write("load", rows[:1], tmp_path)
    found = newest(LOAD, tmp_path)
    assert [row.qps for row in found] == [0.0, 1.0, 2.0, 0.0]
    assert found[1].errors == {"UNAVAILABLE": 2}
    machine = found[0].machine
    assert machine.date in path.name
    assert machine.cores
    assert {"python", "numpy"} <= machine.versions.keys()
    assert newest(INT8, tmp_path) == []


def test_the_newest_file_counts(tmp_path: Path) -> None:
    path = write("load", [window(qps=1.0)], tmp_path)
    older = path.read_text(encoding="utf-8").replace('"qps": 1.0', '"qps": 2.0')
    (tmp_path / "load_2001-01-01.jsonl").write_text(older, encoding="utf-8")
    (tmp_path / "load_more_2999-01-01.jsonl").write_text("no row", encoding="utf-8")
    assert [row.qps for row in newest(LOAD, tmp_path)] == [1.0]


ROW = {
    "model": "m",
    "storage": "float16",
    "videos": 1,
    "queries": 2,
    "bytes_per_video": 3,
    "overlap": 1.0,
    "first": 1,
    "error": 0.0,
    "p20_ms": 1.0,
    "p50_ms": 1.0,
    "p80_ms": 1.0,
}
MACHINE = {"commit": "abc", "date": "2026-01-01"}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"kind": "unheard"}, "line 2 of .* is of the kind 'unheard'; known are stages, load,"),
        ({"kind": None}, "is of the kind None"),
        ({"speed": 1}, "has speed, which is not known: `framesift bench storages` writes rows of the kind storages"),
        ({"machine": {"commit": "abc"}}, "does not say on what and when"),
        ({"machine": {**MACHINE, "colour": "blue"}}, "machine of line 2 of .* has colour"),
        ({"videos": "many"}, "videos of line 2 of .* is 'many', not int"),
        ({"videos": True}, "is True, not int"),
        ({"videos": 1.5}, "is 1.5, not int"),
        ({"model": None}, "model of .* is None, not str"),
    ],
)
def test_what_is_not_known_is_refused(change: dict[str, Any], told: str, tmp_path: Path) -> None:
    row = {"kind": "storages", **ROW, "machine": MACHINE}
    path = tmp_path / "storages_2026-01-01.jsonl"
    path.write_text(f"{json.dumps(row)}\n{json.dumps({**row, **change})}\n", encoding="utf-8")
    with pytest.raises(InvalidInput, match=told):
        read(path)


def test_what_lacks_a_field_or_is_no_object_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "storages_2026-01-01.jsonl"
    for line, told in (
        (json.dumps({"kind": "storages", "model": "m", "machine": MACHINE}), "lacks storage, videos, queries"),
        ("[1]", "is of the kind None"),
        ("{", "is no JSON"),
        (json.dumps({"kind": "storages", **ROW, "machine": "here"}), "machine of .* is 'here', not an object"),
    ):
        path.write_text(line + "\n", encoding="utf-8")
        with pytest.raises(InvalidInput, match=told):
            newest(STORAGES, tmp_path)


def test_a_whole_number_is_a_float_and_defaults_are_left_out() -> None:
    row = decoded(Storage, {**ROW, "machine": MACHINE}, "a row")
    assert row.first == 1
    assert encoded(row) == {"machine": MACHINE, **ROW}
    assert encoded(window()).keys().isdisjoint({"errors", "server", "knee", "ended_early", "corrected"})


def test_rows_of_a_run_that_is_ended_early_are_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown: list[Row] = []

    def run() -> None:
        writer: RowWriter[Window]
        with RowWriter("load", tmp_path, shown.append) as writer:
            for level in (1, 2):
                writer(window(concurrency=level))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run()
    assert len(shown) == 2
    found = newest(LOAD, tmp_path)
    assert [(row.concurrency, row.ended_early) for row in found] == [(1, True), (2, True)]
    assert "ended early: the 2 rows so far are in " in capsys.readouterr().err
    assert Results(tmp_path).of(LOAD) == found
    # A whole run tells what it returns, and the report shows that alone.
    writer: RowWriter[Window]
    with RowWriter("load", tmp_path, shown.append) as writer:
        writer(window(concurrency=4))
        path = writer.finish([window(concurrency=8)])
    assert [row.concurrency for _, row in read(path) if isinstance(row, Window)] == [1, 2, 8]
    assert [row.concurrency for row in Results(tmp_path).of(LOAD)] == [8]
