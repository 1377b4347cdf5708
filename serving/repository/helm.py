"""The Helm chart of a deployment: the one that comes with framesift, with the deployment's image as its default."""

from __future__ import annotations

import re
from importlib.resources import files
from importlib.resources.abc import Traversable

CHART = "chart"
_VALUES = "values.yaml"
_IMAGE = re.compile(r"  repository: \S+\n  tag: \S+\n")


def chart_files(repository: str, tag: str) -> dict[str, str]:
    """The chart's files by their paths below its folder, for an image of that name."""
    found = dict(_walk(files(__package__) / CHART, ""))
    image = f'  repository: {repository}\n  tag: "{tag}"\n'
    found[_VALUES], replaced = _IMAGE.subn(image, found[_VALUES], count=1)
    assert replaced == 1, "the chart's values begin with the image"
    return found


def _walk(folder: Traversable, below: str) -> list[tuple[str, str]]:
    found = []
    for entry in folder.iterdir():
        if entry.is_dir():
            found += _walk(entry, f"{below}{entry.name}/")
        else:
            found.append((f"{below}{entry.name}", entry.read_text(encoding="utf-8")))
    return found
