"""The arithmetic of the load generator: arrivals, corrections, percentiles, knees, trends, and the parts of rows."""

from __future__ import annotations

import numpy as np
import pytest

from framesift.bench.load import accounts, perf_analyzer, queries, soak
from framesift.bench.load.arrivals import corrected, poisson
from framesift.bench.load.clients import joined
from framesift.bench.load.curve import knee
from framesift.bench.load.kept import Kept
from framesift.bench.load.measure import (
    closed_figures,
    figures,
    kept_up,
    percentiles,
    refused_at_first,
    timeline,
)
from framesift.bench.load.memory import trends
from framesift.bench.load.overload import recovery, verdict
from framesift.bench.load.processes import Usage, spent
from framesift.bench.load.server_statistics import between
from framesift.bench.load.sweep import mark_knee
from framesift.bench.load.trend import slope
from framesift.bench.load.worker import OK, Report
from framesift.bench.report.page import results
from framesift.bench.rows import read
from framesift.export.bundle.errors import InvalidInput

OUTCOMES = [(OK, False), ("UNAVAILABLE", True), ("INTERNAL", False)]


def report(
    intended: list[float], latencies: list[float], outcome: list[int], late: float = 0.0, retried: int = 0
) -> Report:
    due = np.array(intended, float)
    again = np.full(len(due), retried)
    return Report(due, due + late, due + np.array(latencies, float), np.array(outcome, np.int64), OUTCOMES, 0.5, again)


def test_poisson_arrivals_have_the_rate_and_the_gaps_of_a_poisson_process() -> None:
    rng = np.random.default_rng()
    rate, seed = float(rng.uniform(50, 500)), int(rng.integers(1 << 31))
    times = poisson(rate, 200.0, seed)
    assert (np.diff(times) >= 0).all()
    assert 0 <= times[0] <= times[-1] < 200
    # Of a Poisson process the count has its mean as variance, and the gaps have their mean as deviation.
    assert abs(len(times) - 200 * rate) < 6 * np.sqrt(200 * rate)
    gaps = np.diff(times)
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.1)
    assert np.array_equal(times, poisson(rate, 200.0, seed))
    assert not np.array_equal(times[:20], poisson(rate, 200.0, seed + 1)[:20])


def test_a_slow_answer_counts_for_the_requests_that_it_held_up() -> None:
    got = np.sort(corrected(np.array([0.1, 1.0, 0.35]), 0.1))
    want = np.sort([0.1, *np.arange(0.1, 1.01, 0.1), 0.35, 0.25, 0.15, 0.05])
    assert got == pytest.approx(want)


def test_correction_leaves_what_was_in_time_alone() -> None:
    latencies = np.random.default_rng().uniform(0, 1, 50)
    assert np.array_equal(corrected(latencies, 1.0), latencies)


def test_percentiles_are_observed_latencies() -> None:
    latencies = np.random.default_rng().exponential(size=2000)
    found = percentiles(latencies)
    exact = np.sort(latencies) * 1e3
    assert found["max_ms"] == pytest.approx(exact[-1], abs=1e-3)
    assert found["p99_ms"] == pytest.approx(exact[int(np.ceil(0.99 * 1999))], abs=1e-3)
    assert list(percentiles(np.array([])).values()) == [None] * 5


def test_a_row_counts_answers_refusals_and_failures_apart() -> None:
    row = figures(report([0, 0.5, 1.0, 1.5, 1.9], [0.1, 0.2, 0.01, 0.05, 0.4], [0, 0, 1, 2, 0]), 2.0)
    assert (row["requests"], row["errors"], row["refused"]) == (5, {"UNAVAILABLE": 1, "INTERNAL": 1}, 1)
    # The last answer came after the window: its latency counts, its throughput does not.
    assert row["qps"] == 1.0
    assert row["max_ms"] == pytest.approx(400)
    assert row["refusals"]["max_ms"] == pytest.approx(10)


def test_latency_counts_from_when_a_request_was_due() -> None:
    slow = report([0, 1, 2], [0.1, 0.1, 0.1], [0, 0, 0])
    waited = Report(slow.intended - 0.5, slow.sent, slow.ended, slow.outcome, OUTCOMES, 0.0, slow.retried)
    assert figures(waited, 3.0)["p50_ms"] == pytest.approx(600)
    assert figures(waited, 3.0)["late_ms"] == pytest.approx(500)
    assert closed_figures(slow, 3.0, 1)["p50_ms"] == pytest.approx(100)


def test_clients_that_send_after_the_window_did_not_keep_up() -> None:
    due = list(np.linspace(0, 1, 100, endpoint=False))
    assert kept_up(report(due, [0.01] * 100, [0] * 100), 1.0)
    assert not kept_up(report(due, [0.6] * 100, [0] * 100, late=0.5), 1.0)


def test_reports_of_several_clients_are_joined_by_the_names_of_outcomes() -> None:
    one = report([0], [1], [2])
    names = [(OK, False), ("INTERNAL", False)]
    other = Report(*(np.array([1.0]) for _ in range(3)), np.array([1]), names, 0.25, np.array([3]))
    both = joined([one, other])
    assert both.retried.tolist() == [0, 3]
    assert [both.outcomes[place][0] for place in both.outcome] == ["INTERNAL", "INTERNAL"]
    assert both.cpu_s == 0.75


def test_a_timeline_has_every_request_in_its_second() -> None:
    rng = np.random.default_rng()
    due = rng.uniform(0, 5, 300)
    points = timeline(report(list(due), list(rng.uniform(0, 1, 300)), list(rng.integers(0, 3, 300))), 5.0)
    assert [point["sent"] for point in points] == np.histogram(due, 5, (0, 5))[0].tolist()
    assert all(point["sent"] == point["answered"] + point["refused"] + point["failed"] for point in points)


def test_the_knee_of_a_queue_lies_where_latency_turns_up() -> None:
    load = np.linspace(0.1, 0.98, 12)
    latency = 1 / (1 - load)
    place = knee(list(load), list(latency))
    # Of 1 / (1 - x) between these ends the point farthest below the chord is where the slope is the chord's.
    chord = (latency[-1] - latency[0]) / (load[-1] - load[0])
    assert place is not None
    assert load[place] == pytest.approx(1 - np.sqrt(1 / chord), abs=load[1] - load[0])


@pytest.mark.parametrize("latency", [[5.0, 5.0, 5.0], [9.0, 7.0, 5.0], [1.0, 2.0]])
def test_without_a_turn_there_is_no_knee(latency: list[float]) -> None:
    assert knee(list(range(len(latency))), latency) is None


@pytest.mark.parametrize("true", [0.0, 0.05, -0.03])
def test_the_interval_of_a_slope_holds_the_true_one(true: float) -> None:
    rng = np.random.default_rng()
    times = np.arange(300.0)
    inside = 0
    for _ in range(60):
        # What wavers slowly, as memory does.
        noise = np.zeros(300)
        for at in range(1, 300):
            noise[at] = 0.8 * noise[at - 1] + rng.normal()
        found = slope(times, true * times + noise)
        inside += abs(found.value - true) <= found.margin
    # 57 of 60 are expected.
    assert inside >= 46


def test_growth_is_told_from_noise() -> None:
    rng = np.random.default_rng()
    times = np.arange(600.0)
    assert not slope(times, 0.01 * times + rng.normal(size=600)).within_noise
    assert slope(times, -0.01 * times + rng.normal(size=600)).within_noise


def sizes(grown: np.ndarray, base: float = 50.0) -> list[tuple[float, dict[str, float]]]:
    """One process that grows by so many megabytes and waves as allocators do, and one that stays as it is."""
    rng = np.random.default_rng()
    waves = np.zeros(len(grown))
    for at in range(1, len(grown)):
        waves[at] = 0.9 * waves[at - 1] + rng.normal(0, 0.08)
    return [(float(at), {"one": base + size, "other": 200.0}) for at, size in enumerate(grown + waves)]


def test_a_leak_of_a_kilobyte_an_answer_is_no_plateau() -> None:
    second = np.arange(135)
    filling = 20 * (1 - np.exp(-second / 8))
    for leak in (0.2, 0.05):
        found = trends(sizes(filling + leak * np.minimum(second, 120)))
        assert not found["one"]["flat"]
        assert found["other"]["flat"]
        assert found["one"]["grown_mb"] > 60 * leak
    # As much in total as two minutes of the larger leak.
    full = trends(sizes(filling))
    assert full["one"]["flat"]
    assert full["all"]["flat"]
    assert full["one"]["settling_mb"] > 15
    # Twenty bytes for each of 150 requests a second, for 20 minutes.
    assert not trends(sizes(0.003 * np.arange(1200)))["one"]["flat"]


def test_what_is_given_back_is_no_growth() -> None:
    second = np.arange(1200)
    # Replaced videos pile up and are swept out, which takes a second copy of the gallery for a moment.
    peaks = np.where(second % 220 < 2, 50.0, 0.0)
    found = trends(sizes(1.5 * (second % 220) / 220 + peaks))
    assert found["one"]["flat"]
    assert trends(sizes(peaks + 0.01 * second))["all"]["flat"] is False
    assert trends(sizes(np.zeros(20))) == {}


def memory(flat: bool) -> dict[str, dict[str, object]]:
    found = {"flat": flat, "grown_mb": 0.2 if flat else 7.0, "first_mb": 50.0}
    return {"one": found, "all": found}


def test_the_soak_tells_of_refusals_that_were_made_good() -> None:
    patient = report([0, 1, 2], [0.1, 0.4, 0.1], [0, 0, 0], retried=1)
    assert refused_at_first(patient).all()
    rows = [
        {**figures(made, 3.0), "work": "search", "refused_at_first": int(refused_at_first(made).sum())}
        for made in (patient, report([0, 1], [0.1, 0.1], [0, 0]))
    ]
    found = soak.verdict(rows, memory(True))
    assert found["refused_at_first"] == 3
    assert all(found["holds"].values())
    given_up = report([0], [3.0], [1], retried=6)
    lost = {**figures(given_up, 3.0), "work": "index", "refused_at_first": 1}
    bad = soak.verdict([*rows, lost], memory(False))
    assert bad["holds"] == {"no error": False, "memory flat": False}
    assert "1 requests to index, 1 unanswered" in bad["because"]["no error"]
    assert bad["because"]["memory flat"].endswith("one +7.0 MB")


def test_recovery_is_the_first_quiet_second() -> None:
    due = np.arange(0, 10, 0.05)
    # Refusals until 2 s, and slow answers until 3 s.
    latencies = np.where(due < 3, 1.0, 0.01)
    after = report(list(due), list(latencies), list(np.where(due < 2, 1, 0)))
    assert recovery(after, 100.0) == pytest.approx(3.0, abs=0.11)
    assert recovery(report([0, 1, 2], [1, 1, 1], [0, 0, 0]), 100.0) is None


def test_the_verdict_on_an_overload() -> None:
    due = list(np.arange(0, 4, 0.1))
    over = report(due, [0.02] * 20 + [0.002] * 20, [0] * 20 + [1] * 20)
    found = verdict(over, report(due, [0.02] * 40, [0] * 40), 10.0, memory(True))
    assert found["refused_share"] == 0.5
    assert found["accepted_times_80"] == pytest.approx(2.0)
    assert found["recovery_s"] == 0.0
    assert all(found["holds"].values())
    assert found["because"].keys() == found["holds"].keys()
    late = verdict(report(due, [0.04] * 20 + [0.5] * 20, [0] * 20 + [1] * 20), over, 10.0, memory(False))
    assert not any(held for name, held in late["holds"].items() if not name.startswith(("recovered", "refused as")))


def test_statistics_are_of_the_window_alone() -> None:
    before = {"search": {"requests": 10, "failed": 1, "rows": 10, "executions": 5, "queue": 10**9}, "other": {}}
    before["search"] |= {"compute_input": 0, "compute_infer": 5 * 10**9, "compute_output": 0}
    change = {"requests": 4, "failed": 0, "rows": 8, "executions": 2, "queue": 8 * 10**6}
    change |= {"compute_input": 0, "compute_infer": 2 * 10**7, "compute_output": 4 * 10**6}
    after = {"search": {key: before["search"][key] + value for key, value in change.items()}}
    after["idle"] = dict.fromkeys(change, 0)
    row = between(before, after)
    assert row.keys() == {"search"}
    assert (row["search"]["requests"], row["search"]["executions"]) == (4, 2)
    assert [row["search"][name] for name in ("queue_ms", "compute_ms", "output_ms")] == [2.0, 5.0, 1.0]


def test_processes_of_a_model_are_added_up_and_a_new_one_counts_from_nothing() -> None:
    before = {1: Usage("tritonserver", 10.0, 0), 2: Usage("decoder", 3.0, 0), 3: Usage("decoder", 4.0, 0)}
    after = {
        1: Usage("tritonserver", 11.0, 5 * 10**6),
        2: Usage("decoder", 3.5, 10**6),
        9: Usage("decoder", 1.0, 10**6),
    }
    assert spent(before, after) == {
        "tritonserver": {"cpu_s": 1.0, "rss_mb": 5.0},
        "decoder": {"cpu_s": 1.5, "rss_mb": 2.0},
    }


METRICS = """
# HELP framesift_compute_seconds_total x
framesift_compute_seconds_total{model="tokenizer",version="1"} 1.5
framesift_process_seconds_total{model="tokenizer",version="1"} 4
framesift_compute_seconds_total{version="1",model="search"} 2e1
framesift_process_seconds_total{version="1",model="search"} 25
nv_inference_count{model="search",version="1"} 100
"""


def test_the_share_of_compute_comes_from_the_models_own_accounts() -> None:
    found = accounts.parsed(METRICS)
    assert found == {"tokenizer": accounts.Account(1.5, 4.0), "search": accounts.Account(20.0, 25.0)}
    server = {"tritonserver": {"cpu_s": 2.0}, "search": {"cpu_s": 10.0}, "idle": {"cpu_s": 0.0}}
    told = accounts.with_compute(server, {"search": accounts.Account(16.0, 20.0)}, found)
    assert [row["compute_s"] for row in told.values()] == [None, 8.0, None]
    assert accounts.compute_share(told) == pytest.approx(8 / 12, abs=1e-4)
    assert accounts.compute_share({"tritonserver": {"cpu_s": 2.0, "compute_s": None}}) is None


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
    assert perf_analyzer.figures(REPORT) == {"qps": 54.9371, "p50_ms": 22.392, "p95_ms": 91.165, "p99_ms": 131.763}
    assert perf_analyzer.figures(REPORT.splitlines()[0]) is None


def test_perf_analyzers_failure_is_told_and_no_earlier_report_taken_for_its_own(tmp_path, monkeypatch) -> None:
    program, level = tmp_path / perf_analyzer.PROGRAM, {"loop": "closed", "concurrency": 4}

    def does(script: str) -> None:
        program.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        program.chmod(0o755)

    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    does("echo 'Perf Analyzer Version 0.0.0 (commit 3a49a23)' >&2")
    assert perf_analyzer.missing() is None
    run = perf_analyzer.PerfAnalyzer("127.0.0.1:1", ["a dog"], 10, 1.0, tmp_path)
    does(f'for word; do case "$word" in -f*) printf "%s" "{REPORT}" > "${{word#-f}}";; esac; done')
    run(level)
    assert level["perf_analyzer"] == perf_analyzer.figures(REPORT)
    # As its wheel's command does, with status 0.
    (tmp_path / "words").write_text(REFUSED, encoding="utf-8")
    does(f"echo 'Request concurrency: 4'; cat {tmp_path / 'words'} >&2")
    run(level)
    refusal = "in ensemble 'search', [unavailable] the server is searching: try again"
    assert level["perf_analyzer"] == {"failed": refusal}
    does("echo \"perf_analyzer: libc.so.6: version 'GLIBC_2.38' not found\" >&2")
    assert "does not run: perf_analyzer: libc.so.6" in (perf_analyzer.missing() or "")
    program.unlink()
    assert perf_analyzer.missing() == "perf_analyzer is not on the PATH"


def test_a_level_that_refuses_is_past_the_knee() -> None:
    latencies = [10.0] * 8 + [15.0, 15.0, 100.0]
    rows = [
        {"offered_qps": 100.0 * place, "p99_ms": latency, "errors": {}, "requests": 1000, "knee": False}
        for place, latency in enumerate(latencies, start=1)
    ]
    mark_knee(rows)
    assert [row["offered_qps"] for row in rows if row["knee"]] == [1000.0]
    for row in rows[8:]:
        row.update(errors={"UNAVAILABLE": 200}, knee=False)
    mark_knee(rows)
    assert [row["offered_qps"] for row in rows if row["knee"]] == [800.0]


def test_rows_of_a_run_that_is_ended_early_are_kept(tmp_path, capsys) -> None:
    shown: list[dict[str, object]] = []

    def run() -> None:
        with Kept("load", tmp_path, shown.append) as kept:
            for level in (1, 2):
                kept({"scenario": "search", "concurrency": level})
            shown[0]["knee"] = True
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run()
    found = read("load", tmp_path)
    assert [(row["concurrency"], row["ended_early"], row.get("knee")) for row in found] == [
        (1, True, True),
        (2, True, None),
    ]
    assert "ended early: the 2 rows so far are in " in capsys.readouterr().err
    assert results(tmp_path)["load"] == found
    # A whole run tells what it returns, and the report shows that alone.
    with Kept("load", tmp_path, shown.append) as kept:
        kept({"concurrency": 4, "phase": "probe"})
        kept.finish([{"concurrency": 8}])
    assert [row["concurrency"] for row in read("load", tmp_path)] == [1, 2, 8]
    assert [row["concurrency"] for row in results(tmp_path)["load"]] == [8]
