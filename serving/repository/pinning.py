"""Pins, by version and hash, what NVIDIA's container installs: ``make requirements`` runs it.

    python -m framesift.serving.repository.pinning PYTHON CONSTRAINTS [gpu | ray BESIDE]

PYTHON is an interpreter of the container's version. Its pip resolves what the server needs to wheels of PyPI alone, at
the versions in CONSTRAINTS, with which everything is tested. With ``gpu`` it is what searches on a GPU need beside it,
and with ``ray`` what that extra needs beside the lines of the file BESIDE.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from importlib.metadata import requires
from pathlib import Path
from typing import Any

_INDEX, _FILES = "https://pypi.org/simple", "https://files.pythonhosted.org/"
# The container has a Triton server of its own.
_NOT_IN_CONTAINER = "nvidia-pytriton"
_EXTRAS = ("server", "tracing")
_MADE = "# Made by `make requirements`: "
_HEAD = f"""\
{_MADE}what the server needs on Python 3.12 and x86-64, as files of PyPI.
# numpy stays at 1.26: the Python backend of every release reads it, and framesift is tested with it.
"""
# Compiles the kernels that search on a GPU.
_ON_GPU = "triton"
_HEADS = {
    "gpu": f"{_MADE}what compiles the kernels that search on a GPU, on Python 3.12 and x86-64.\n",
    "ray": f"{_MADE}what a node of a Ray cluster needs beside requirements.txt.\n",
}


def wanted(*extras: str) -> list[str]:
    """The requirements of ``framesift[server,tracing]``, and of other extras, without its Triton server."""
    found = []
    for line in requires("framesift") or []:
        requirement, _, marker = line.partition(";")
        named = any(f'extra == "{extra}"' in marker for extra in (*_EXTRAS, *extras))
        if ("extra ==" not in marker or named) and not line.startswith(_NOT_IN_CONTAINER):
            found.append(requirement.strip())
    return sorted(set(found))


def pinned(report: dict[str, Any], head: str = _HEAD, beside: str = "") -> str:
    """The lines of a requirements file from the report of a pip that would install them, without those ``beside``."""
    lines = []
    for entry in sorted(report["install"], key=lambda entry: str(entry["metadata"]["name"]).lower()):
        source = entry["download_info"]
        if not source["url"].startswith(_FILES):
            raise ValueError(f"{source['url']} is no file of PyPI")
        about, digest = entry["metadata"], source["archive_info"]["hashes"]["sha256"]
        lines.append(f"{about['name']}=={about['version']} --hash=sha256:{digest}\n")
    there = beside.splitlines(keepends=True)
    return head + "".join(line for line in lines if line not in there)


def main(python: str, constraints: str, kind: str = "", beside: str = "") -> None:
    """Print the file."""
    asked = [_ON_GPU] if kind == "gpu" else wanted(kind)
    head = _HEADS.get(kind, _HEAD)
    # No other index, and no folder of wheels, that this machine's own settings name.
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("PIP_") or name == "PIP_CERT"
    }
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.json")
        command = [python, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed", "--only-binary=:all:"]
        command += ["--index-url", _INDEX, "--constraint", constraints, "--report", str(report), *asked]
        subprocess.run(command, env={**environment, "PIP_CONFIG_FILE": os.devnull}, check=True)
        there = Path(beside).read_text(encoding="utf-8") if beside else ""
        print(pinned(json.loads(report.read_text(encoding="utf-8")), head, there), end="")


if __name__ == "__main__":
    main(*sys.argv[1:])
