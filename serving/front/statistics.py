"""Triton server's statistics under the names of what clients call."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .public import Public
from .upstream import Upstream

_LAST = "last_inference"


async def statistics(public: Public | None, publics: Iterable[Public], upstream: Upstream) -> dict[str, Any]:
    """The statistics of one model or of all, steps too, in JSON's form.

    A search with facts or a filter is answered by another model than a plain one, and so is one among candidates; all
    of them are one search.

    Raises:
        Restarting: Triton server is not there at present.
    """
    all_ = [public] if public is not None else list(publics)
    names = {model: each.name for each in all_ if not _shared(each, all_) for model in _answering(each)}
    paths = ["/v2/models/stats"] if public is None else [f"/v2/models/{model}/stats" for model in _answering(public)]
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for path in paths:
        for row in (await upstream.get(path))["model_stats"]:
            named = {**row, "name": names.get(row["name"], row["name"])}
            place = named["name"], named["version"]
            rows[place] = together(rows[place], named) if place in rows else named
    return {"model_stats": list(rows.values())}


def together(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Two models' statistics as if they were one's: counts and times added, the later of their last requests."""
    made = {**other, **one}
    for key in one.keys() & other.keys():
        first, second = one[key], other[key]
        if isinstance(first, Mapping):
            made[key] = together(first, second)
        elif isinstance(first, list):
            made[key] = _listed(first, second)
        elif isinstance(first, int):
            made[key] = max(first, second) if key == _LAST else first + second
    return made


def _listed(one: list[dict[str, Any]], other: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows by the size of a batch: those of one size together."""
    rows: dict[Any, dict[str, Any]] = {}
    for row in (*one, *other):
        size = row.get("batch_size")
        rows[size] = {**together(rows[size], row), "batch_size": size} if size in rows else row
    return list(rows.values())


def _answering(public: Public) -> list[str]:
    return [model for model in (public.upstream, public.detailed, public.named) if model]


def _shared(public: Public, publics: Iterable[Public]) -> bool:
    """Whether others are answered by the same model, or by it among others."""
    return any(public.upstream in (each.upstream, *each.steps) for each in publics if each.name != public.name)
