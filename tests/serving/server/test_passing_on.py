"""A log that is passed on: all of it, once, as text or JSON, and never more of it on the disk than is bearable."""

from __future__ import annotations

import errno
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from framesift.serving.server.passing_on import PassingOn, told

from ...waiting import until


def test_every_line_is_passed_on_once_and_the_file_stays_small(tmp_path: Path) -> None:
    log, out = tmp_path / "log", io.StringIO()
    log.write_text("before\n")
    lines = [f"line {number}" for number in range(300)]
    passing = PassingOn(log, out=out, largest=500)
    # As processes do that have it open for appending.
    with log.open("a") as stream:
        for start in range(0, 300, 100):
            print(*lines[start : start + 100], sep="\n", file=stream, flush=True)
            until(lambda start=start: lines[start + 99] in out.getvalue())
            until(lambda: log.stat().st_size == 0)
        stream.write("no end")
        stream.flush()
        passing.close()
    assert out.getvalue().splitlines() == ["before", *lines, "no end"]


class _Full(io.StringIO):
    """A stream whose disk is full, or whose reader has gone."""

    def write(self, text: str) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_the_file_stays_small_where_nobody_takes_the_lines(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.touch()
    passing = PassingOn(log, out=_Full(), largest=500)
    with log.open("a") as stream:
        for _ in range(3):
            print(*["a line"] * 100, sep="\n", file=stream, flush=True)
            until(lambda: log.stat().st_size == 0)
    passing.close()


def test_what_a_program_logs_is_json_too() -> None:
    code = (
        "import logging\n"
        "from framesift.serving.server.passing_on import log_as_json\n"
        "log_as_json()\n"
        "logging.getLogger('framesift.x').warning('shard %d has ended', 2)\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    found = json.loads(run.stderr)
    assert found.pop("time").endswith("Z")
    assert found == {"level": "warning", "where": "framesift.x", "message": "shard 2 has ended"}


@pytest.mark.parametrize(
    ("line", "level", "where", "message"),
    [
        ('2026-11-29T09:00:00Z E 42 model.cc:10] "no model"', "error", "model.cc:10", '"no model"'),
        ("[2026-11-29 09:00:00.123][42][warning][config] gone", "warning", "config", "gone"),
        ("framesift keeper: door has ended", "info", None, "framesift keeper: door has ended"),
        ('a "quote" and \x1b', "info", None, 'a "quote" and \x1b'),
    ],
)
def test_a_line_says_when_how_bad_and_where(line: str, level: str, where: str | None, message: str) -> None:
    found = json.loads(told(line))
    assert (found["level"], found.get("where"), found["message"]) == (level, where, message)
    assert found["time"].endswith("Z")
    assert found["time"][10] == "T"
