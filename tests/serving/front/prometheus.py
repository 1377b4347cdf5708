"""A page of metrics, read as strictly as Prometheus' own text format is defined (version 0.0.4)."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field

_NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
_LABEL = r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"'
_SAMPLE = re.compile(rf"({_NAME})(?:\{{({_LABEL}(?:,{_LABEL})*)?\}})? (\S+)")
_SUFFIXES = {"histogram": ("_bucket", "_sum", "_count"), "summary": ("", "_sum", "_count")}

Labels = tuple[tuple[str, str], ...]


@dataclass
class Family:
    """One metric: its kind, and its samples by name and labels."""

    kind: str
    samples: dict[tuple[str, Labels], float] = field(default_factory=dict)

    def value(self, **labels: str) -> float:
        """The sum of the samples that have these labels."""
        return sum(value for (_, found), value in self.samples.items() if labels.items() <= dict(found).items())


def parse(text: str) -> dict[str, Family]:
    """The metrics of a page.

    Raises:
        AssertionError: Prometheus would refuse the page, or read something else than was meant.
    """
    assert text.endswith("\n")
    families: dict[str, Family] = {}
    described: set[str] = set()
    present = ""
    for line in text.splitlines():
        if help_ := re.fullmatch(rf"# HELP ({_NAME}) (.+)", line):
            assert help_[1] not in described, f"described twice: {line}"
            described.add(help_[1])
        elif kind := re.fullmatch(rf"# TYPE ({_NAME}) (counter|gauge|histogram|summary|untyped)", line):
            assert kind[1] not in families, f"typed twice: {line}"
            present = kind[1]
            families[present] = Family(kind[2])
        else:
            sample = _SAMPLE.fullmatch(line)
            assert sample, f"no sample: {line!r}"
            name, labels = sample[1], tuple(re.findall(_LABEL, sample[2] or ""))
            family = families[present]
            allowed = [present + suffix for suffix in _SUFFIXES.get(family.kind, ("",))]
            assert name in allowed, f"{name} stands below {present}"
            assert len(dict(labels)) == len(labels), f"a label twice: {line}"
            assert (name, labels) not in family.samples, f"told twice: {line}"
            family.samples[name, labels] = float(sample[sample.lastindex or 0])
    assert described >= families.keys()
    for name, family in families.items():
        if family.kind == "histogram":
            _check_histogram(name, family)
    return families


def _check_histogram(name: str, family: Family) -> None:
    """Buckets are cumulative, in order, and end with all of them."""
    buckets: defaultdict[Labels, list[tuple[float, float]]] = defaultdict(list)
    for (sample, labels), value in family.samples.items():
        if sample == f"{name}_bucket":
            others = tuple(pair for pair in labels if pair[0] != "le")
            buckets[others].append((float(dict(labels)["le"]), value))
    for labels, found in buckets.items():
        assert found == sorted(found)
        assert [count for _, count in found] == sorted(count for _, count in found)
        assert found[-1] == (float("inf"), family.samples[f"{name}_count", labels])
        assert (f"{name}_sum", labels) in family.samples
