"""Statistics of a search, which two models answer."""

from __future__ import annotations

from typing import Any

from framesift.serving.front.statistics import together


def row(name: str, count: int, last: int, sizes: dict[int, int]) -> dict[str, Any]:
    return {
        "name": name,
        "version": "1",
        "last_inference": last,
        "inference_stats": {"success": {"count": count, "ns": 10 * count}, "fail": {"count": 1, "ns": 5}},
        "batch_stats": [{"batch_size": size, "compute_infer": {"count": n, "ns": n}} for size, n in sizes.items()],
    }


def test_two_models_are_counted_as_one() -> None:
    made = together(row("search", 3, 900, {1: 2, 4: 1}), row("search", 4, 700, {4: 3}))
    assert made == {
        **row("search", 7, 900, {1: 2, 4: 4}),
        "inference_stats": {"success": {"count": 7, "ns": 70}, "fail": {"count": 2, "ns": 10}},
    }


def test_what_one_of_them_lacks_is_the_others() -> None:
    assert together({"name": "a", "memory_usage": []}, {"name": "a", "response_stats": {}}) == {
        "name": "a",
        "memory_usage": [],
        "response_stats": {},
    }
