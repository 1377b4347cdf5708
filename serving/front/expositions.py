"""Several expositions in Prometheus' text format as one, in which every sample tells whose it is."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

_HEAD = re.compile(r"# (?:HELP|TYPE) (\S+)")


def merged(texts: Mapping[str, str], label: str) -> str:
    """All samples of ``texts``, each with a further ``label`` whose value is its key; a metric's are together.

    Args:
        texts: expositions by a value that needs no escaping.
    """
    heads: dict[str, list[str]] = {}
    samples: dict[str, list[str]] = {}
    for value, text in texts.items():
        for metric, line in _by_metric(text):
            if line.startswith("#"):
                head = heads.setdefault(metric, [])
                head += [line] if line not in head else []
            else:
                samples.setdefault(metric, []).append(_labelled(line, f'{label}="{value}"'))
    lines = (line for metric, found in heads.items() for line in (*found, *samples.get(metric, ())))
    return "".join(f"{line}\n" for line in lines)


def _by_metric(text: str) -> Iterator[tuple[str, str]]:
    """Every line, with the metric to which it belongs: the one whose head came last."""
    metric = ""
    for line in filter(None, text.split("\n")):
        if found := _HEAD.match(line):
            metric = found[1]
        yield metric, line


def _labelled(sample: str, label: str) -> str:
    name, brace, rest = sample.partition("{")
    if not brace:
        name, _, rest = sample.partition(" ")
        return f"{name}{{{label}}} {rest}"
    return f"{name}{{{label}{'' if rest.startswith('}') else ','}{rest}"
