"""The Helm chart of a deployment: the one that comes with framesift, with its version and the deployment's image."""

from __future__ import annotations

import re
from importlib.resources import files
from importlib.resources.abc import Traversable

from ... import __version__

CHART = "chart"
_ABOUT, _VALUES = "Chart.yaml", "values.yaml"
_VERSIONS = re.compile(r"^version: \S+\nappVersion: \S+\n", re.MULTILINE)
_IMAGE = re.compile(r"  repository: \S+\n  tag: \S+\n")


def chart_files(repository: str, tag: str) -> dict[str, str]:
    """The chart's files by their paths below its folder, for an image of that name."""
    found = dict(_walk(files(__package__) / CHART, ""))
    versions = f'version: {__version__}\nappVersion: "{__version__}"\n'
    image = f'  repository: {repository}\n  tag: "{tag}"\n'
    for name, place, text in ((_ABOUT, _VERSIONS, versions), (_VALUES, _IMAGE, image)):
        found[name], replaced = place.subn(text, found[name], count=1)
        assert replaced == 1, f"{name} of the chart has what a deployment says"
    return found


def _walk(folder: Traversable, below: str) -> list[tuple[str, str]]:
    found = []
    for entry in folder.iterdir():
        if entry.is_dir():
            found += _walk(entry, f"{below}{entry.name}/")
        else:
            found.append((f"{below}{entry.name}", entry.read_text(encoding="utf-8")))
    return found
