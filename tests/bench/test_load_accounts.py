"""What the server used in a window: requests and executions, processes, and the models' own work."""

from __future__ import annotations

import pytest

from framesift.bench.load import cpu_accounting as accounts
from framesift.bench.load.processes import Usage, spent
from framesift.bench.load.server_statistics import between
from framesift.bench.schema.load import ProcessUse


def test_statistics_are_of_the_window_alone() -> None:
    before = {"search": {"requests": 10, "failed": 1, "rows": 10, "executions": 5, "queue": 10**9}, "other": {}}
    before["search"] |= {"compute_input": 0, "compute_infer": 5 * 10**9, "compute_output": 0}
    change = {"requests": 4, "failed": 0, "rows": 8, "executions": 2, "queue": 8 * 10**6}
    change |= {"compute_input": 0, "compute_infer": 2 * 10**7, "compute_output": 4 * 10**6}
    after = {"search": {key: before["search"][key] + value for key, value in change.items()}}
    after["idle"] = dict.fromkeys(change, 0)
    row = between(before, after)
    assert row.keys() == {"search"}
    used = row["search"]
    assert (used.requests, used.executions) == (4, 2)
    assert (used.queue_ms, used.compute_ms, used.output_ms) == (2.0, 5.0, 1.0)


def test_processes_of_a_model_are_added_up_and_a_new_one_counts_from_nothing() -> None:
    before = {1: Usage("tritonserver", 10.0, 0), 2: Usage("decoder", 3.0, 0), 3: Usage("decoder", 4.0, 0)}
    after = {
        1: Usage("tritonserver", 11.0, 5 * 10**6),
        2: Usage("decoder", 3.5, 10**6),
        9: Usage("decoder", 1.0, 10**6),
    }
    assert spent(before, after) == {
        "tritonserver": ProcessUse(cpu_s=1.0, rss_mb=5.0),
        "decoder": ProcessUse(cpu_s=1.5, rss_mb=2.0),
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
    server = {"tritonserver": ProcessUse(2.0, 1.0), "search": ProcessUse(10.0, 1.0), "idle": ProcessUse(0.0, 1.0)}
    told = accounts.with_compute(server, {"search": accounts.Account(16.0, 20.0)}, found)
    assert [used.compute_s for used in told.values()] == [None, 8.0, None]
    assert accounts.compute_share(told) == pytest.approx(8 / 12, abs=1e-4)
    assert accounts.compute_share({"tritonserver": ProcessUse(2.0, 1.0)}) is None
