"""NVIDIA's perf_analyzer beside our own load: what it is given, and what is read of it."""

from __future__ import annotations

from framesift.bench.load import perf_analyzer
from framesift.bench.schema.load import PerfAnalyzerFigures

from .reports import window


def test_perf_analyzer_gets_the_clients_own_requests() -> None:
    (entry,) = perf_analyzer.input_data(["réd"], 7)["data"]
    assert bytes(entry["text"]["content"]).decode() == "réd"
    assert entry["text"]["shape"] == [4]
    assert entry["text_length"]["content"] == [4]
    assert entry["top"] == {"content": [7], "shape": [1]}


# What perf_analyzer 2.60 wrote.
REPORT = (
    "Request Rate,Inferences/Second,Client Send,Network+Server Send/Recv,Server Queue,Server Compute Input,"
    "Server Compute Infer,Server Compute Output,Client Recv,p50 latency,p90 latency,p95 latency,p99 latency\n"
    "60.5,54.9371,19,8937,4,215,22537,1590,8,22392,69868,91165,131763\n"
)
REFUSED = "Failed to retrieve results from inference request.\n" + "".join(
    f"Thread [{thread}] had error: in ensemble 'search', [unavailable] the server is searching: try again\n\n"
    for thread in range(4)
)


def test_perf_analyzers_report_is_read_in_milliseconds() -> None:
    assert perf_analyzer.figures(REPORT) == PerfAnalyzerFigures(54.9371, 22.392, 91.165, 131.763)
    assert perf_analyzer.figures(REPORT.splitlines()[0]) is None


def test_perf_analyzers_failure_is_told_and_no_earlier_report_taken_for_its_own(tmp_path, monkeypatch) -> None:
    program, level = tmp_path / perf_analyzer.PROGRAM, window(loop="closed", concurrency=4)

    def does(script: str) -> None:
        program.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        program.chmod(0o755)

    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    does("echo 'Perf Analyzer Version 0.0.0 (commit 3a49a23)' >&2")
    assert perf_analyzer.missing() is None
    run = perf_analyzer.PerfAnalyzer("127.0.0.1:1", ["a dog"], 10, 1.0, tmp_path)
    does(f'for word; do case "$word" in -f*) printf "%s" "{REPORT}" > "${{word#-f}}";; esac; done')
    assert run(level).perf_analyzer == perf_analyzer.figures(REPORT)
    # As its wheel's command does, with status 0.
    (tmp_path / "words").write_text(REFUSED, encoding="utf-8")
    does(f"echo 'Request concurrency: 4'; cat {tmp_path / 'words'} >&2")
    refusal = "in ensemble 'search', [unavailable] the server is searching: try again"
    assert run(level).perf_analyzer == PerfAnalyzerFigures(failed=refusal)
    does("echo \"perf_analyzer: libc.so.6: version 'GLIBC_2.38' not found\" >&2")
    assert "does not run: perf_analyzer: libc.so.6" in (perf_analyzer.missing() or "")
    program.unlink()
    assert perf_analyzer.missing() == "perf_analyzer is not on the PATH"
