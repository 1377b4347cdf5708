"""Comparing commits: the rule that tells a change from noise, and which commits can be compared."""

from __future__ import annotations

import itertools
import math
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from framesift.bench.compare.change import LEAST_RUNS, change, mann_whitney
from framesift.bench.compare.judge import judged, summary, table
from framesift.bench.compare.searches import searches
from framesift.bench.compare.versions import Version, alternate, checked_out
from framesift.export.bundle.errors import FramesiftError, InvalidInput

ROOT = Path(__file__).parents[2]
Runs = list[list[float]]


def runs(rng: np.random.Generator, count: int, scale: float = 1.0, drift: float = 0.0) -> Runs:
    """Runs of 30 rounds: each run has a level of its own, a long tail, and drifts along with time."""
    levels = scale * (1 + drift * np.arange(count)) * (1 + 0.02 * rng.standard_normal(count))
    return [(level * (1 + 0.1 * rng.exponential(size=30))).tolist() for level in levels]


@pytest.mark.parametrize("count", [5, 6, 10])
def test_equal_versions_are_hardly_ever_flagged(count: int) -> None:
    rng = np.random.default_rng(1)
    verdicts = [change(runs(rng, count), runs(rng, count)).verdict for _ in range(150)]
    assert verdicts.count("same") >= 149


def test_drift_of_the_machine_is_no_change() -> None:
    rng = np.random.default_rng(2)
    verdicts = [change(runs(rng, 6, drift=0.1), runs(rng, 6, drift=0.1)).verdict for _ in range(80)]
    assert verdicts.count("same") >= 79


@pytest.mark.parametrize(("scale", "verdict"), [(1.2, "slower"), (0.8, "faster")])
def test_a_fifth_is_found(scale: float, verdict: str) -> None:
    rng = np.random.default_rng(3)
    found = [change(runs(rng, 6), runs(rng, 6, scale)) for _ in range(80)]
    assert sum(one.verdict == verdict for one in found) >= 76
    assert np.median([one.ratio for one in found]) == pytest.approx(scale, abs=0.02)
    assert all(one.low <= one.ratio <= one.high for one in found)


def test_a_change_within_the_margin_is_none() -> None:
    rng = np.random.default_rng(4)
    base, head = runs(rng, 10), runs(rng, 10, 1.15)
    assert change(base, head).verdict == "slower"
    assert change(base, head, margin=0.3).verdict == "same"


@pytest.mark.parametrize(("m", "n"), [(1, 1), (2, 3), (4, 4), (5, 3)])
def test_mann_whitney_counts_every_order(m: int, n: int) -> None:
    rng = np.random.default_rng(m * n)
    values = rng.permutation(m + n).tolist()
    first, second = values[:m], values[m:]

    def u(of: tuple[int, ...]) -> int:
        return sum(a > b for a in of for b in set(values) - set(of))

    every = [min(u(of), m * n - u(of)) for of in itertools.combinations(values, m)]
    mine = min(u(tuple(first)), m * n - u(tuple(first)))
    share = sum(one <= mine for one in every) / len(every)
    assert mann_whitney(first, second) == pytest.approx(min(1.0, share), abs=1e-9)


def test_mann_whitney_of_what_is_fully_apart() -> None:
    assert mann_whitney(range(5), range(5, 10)) == pytest.approx(2 / math.comb(10, 5))
    assert mann_whitney([1.0] * 6, [1.0] * 6) == 1.0


def test_too_few_runs_are_refused() -> None:
    few: Runs = [[1.0]] * (LEAST_RUNS - 1)
    with pytest.raises(ValueError, match="there must be 5 of each"):
        change(few, few)
    with pytest.raises(ValueError, match="5 and 6 runs"):
        change([[1.0]] * 5, [[1.0]] * 6)


def test_the_table_begins_with_the_largest_slowdown() -> None:
    rng = np.random.default_rng(5)
    base = {"a": runs(rng, 6), "b": runs(rng, 6), "c": runs(rng, 6)}
    head = {"a": runs(rng, 6), "b": runs(rng, 6, 1.5), "only here": runs(rng, 6)}
    rows = judged(base, head, 0.05)
    assert [row.case for row in rows] == ["b", "a"]
    assert rows[0].verdict == "slower"
    assert "SLOWER" in table(rows).splitlines()[1]
    assert summary(rows, 0.5) == "1 slower, 0 faster, 1 the same"
    assert summary([replace(rows[1], low=0.7, high=1.2)], 0.05).startswith(
        "0 slower, 0 faster, 1 the same within noise, which could hide a change of up to 30%"
    )


def test_a_commit_without_stages_is_refused(tmp_path: Path) -> None:
    def git(*arguments: str) -> None:
        told = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
        subprocess.run(["git", "-C", str(tmp_path), *told, *arguments], check=True, capture_output=True)

    git("init", "--quiet")
    git("commit", "--allow-empty", "--message", "old")
    with pytest.raises(InvalidInput, match="has no `framesift bench stages`"), checked_out(tmp_path, ["HEAD", "HEAD"]):
        pass
    with pytest.raises(InvalidInput, match="no commit 'nowhere'"), checked_out(tmp_path, ["nowhere", "HEAD"]):
        pass
    worktrees = subprocess.run(
        ["git", "-C", str(tmp_path), "worktree", "list"], check=True, capture_output=True, text=True
    )
    assert len(worktrees.stdout.splitlines()) == 1


def test_both_are_measured_in_turns(tmp_path: Path) -> None:
    versions = [Version(name, name, tmp_path) for name in ("base", "head")]
    order: list[str] = []

    def measure(version: Version) -> dict[str, list[float]]:
        order.append(version.name)
        return {"case": [float(len(order))], f"{version.name} alone": [0.0]}

    base, head = alternate(versions, 3, measure, lambda line: None)
    assert order == ["base", "head", "head", "base", "base", "head"]
    assert base == {"case": [[1.0], [4.0], [5.0]], "base alone": [[0.0]] * 3}
    assert head["case"] == [[2.0], [3.0], [6.0]]


def test_a_folder_is_the_tree_that_is_there() -> None:
    with checked_out(ROOT, [str(ROOT)]) as (version,):
        assert version.tree.resolve() == ROOT
        assert version.label.endswith("+")
        version.run("--version")
        with pytest.raises(FramesiftError, match="No such command"):
            version.run("nothing")
    assert (ROOT / "pyproject.toml").is_file()
    assert not version.place.exists()


@pytest.mark.server
@pytest.mark.slow
def test_the_searches_of_a_tree_are_measured() -> None:
    with checked_out(ROOT, [str(ROOT)]) as (version,):
        found = searches([version], 5.0, lambda line: None)(version)
    assert len(found) == 4
    assert all(min(times) > 0 for times in found.values())
    for who in ("1 client", "8 clients"):
        (spent,) = found[f"search, {who}: processor time"]
        assert len(found[f"search, {who}: until the answer"]) > 10
        # Of milliseconds, whatever else the machine does.
        assert 1e-4 < spent < 0.1
