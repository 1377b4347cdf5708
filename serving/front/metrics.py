"""Counters, gauges and histograms in Prometheus' text format, of one thread."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol


class Metric(Protocol):
    """What an exposition consists of."""

    def lines(self) -> list[str]:
        """Its lines, without an end of line."""


class Counter:
    """A number that grows, for every combination of labels."""

    def __init__(self, name: str, told: str, labels: Sequence[str] = ()) -> None:
        self._name, self._told, self._labels = name, told, tuple(labels)
        self._values: defaultdict[tuple[str, ...], float] = defaultdict(float, {} if labels else {(): 0.0})

    def add(self, *labels: str, by: float = 1) -> None:
        """Let it grow."""
        self._values[labels] += by

    def lines(self) -> list[str]:
        """As ``Metric.lines``."""
        return [
            *_header(self._name, self._told, "counter"),
            *(_line(self._name, self._labels, labels, value) for labels, value in sorted(self._values.items())),
        ]


class Gauge:
    """A number that is asked for when it is told."""

    def __init__(self, name: str, told: str, read: Callable[[], float]) -> None:
        self._name, self._told, self._read = name, told, read

    def lines(self) -> list[str]:
        """As ``Metric.lines``."""
        return [*_header(self._name, self._told, "gauge"), _line(self._name, (), (), self._read())]


class Histogram:
    """How often values up to each of some bounds came, for every combination of labels."""

    def __init__(self, name: str, told: str, bounds: Sequence[float], labels: Sequence[str] = ()) -> None:
        self._name, self._told, self._bounds, self._labels = name, told, tuple(bounds), tuple(labels)
        self._values: dict[tuple[str, ...], _Distribution] = {} if labels else {(): _Distribution.of(self._bounds)}

    def observe(self, value: float, *labels: str) -> None:
        """Count a value."""
        found = self._values.get(labels)
        if found is None:
            found = self._values[labels] = _Distribution.of(self._bounds)
        found.counts[bisect_left(self._bounds, value)] += 1
        found.sum += value

    def lines(self) -> list[str]:
        """As ``Metric.lines``."""
        lines = _header(self._name, self._told, "histogram")
        for labels, found in sorted(self._values.items()):
            total = 0
            for bound, count in zip((*map(_number, self._bounds), "+Inf"), found.counts, strict=True):
                total += count
                lines.append(_line(f"{self._name}_bucket", (*self._labels, "le"), (*labels, bound), total))
            lines.append(_line(f"{self._name}_sum", self._labels, labels, found.sum))
            lines.append(_line(f"{self._name}_count", self._labels, labels, total))
        return lines


@dataclass
class _Distribution:
    counts: list[int]
    sum: float = 0.0

    @staticmethod
    def of(bounds: Sequence[float]) -> _Distribution:
        return _Distribution([0] * (len(bounds) + 1))


def exposition(metrics: Sequence[Metric]) -> str:
    """The text that tells ``metrics``."""
    return "".join(f"{line}\n" for metric in metrics for line in metric.lines())


def _header(name: str, told: str, kind: str) -> list[str]:
    return [f"# HELP {name} {told}", f"# TYPE {name} {kind}"]


def _line(name: str, names: Sequence[str], labels: Sequence[str], value: float) -> str:
    told = ",".join(f'{key}="{_escaped(label)}"' for key, label in zip(names, labels, strict=True))
    return f"{name}{{{told}}} {_number(value)}" if told else f"{name} {_number(value)}"


def _escaped(label: str) -> str:
    return label.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(float(value))
