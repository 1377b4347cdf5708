"""The GPU of this machine, as its driver describes it."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass

_QUERY = ("nvidia-smi", "--query-gpu=name,compute_cap,driver_version", "--format=csv,noheader", "--id=0")


@dataclass(frozen=True)
class Device:
    """A GPU: its name, compute capability as in ``sm_90``, and the driver's version."""

    name: str
    capability: str
    driver: str


def sm(major: int, minor: int) -> str:
    """A compute capability as a target: ``sm_89`` for 8.9."""
    return f"sm_{major}{minor}"


def local_device() -> Device | None:
    """The first GPU of this machine, None where there is none or no driver."""
    try:
        found = subprocess.run(_QUERY, capture_output=True, text=True, timeout=30, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    return parse_device(found)


def parse_device(line: str) -> Device | None:
    """What nvidia-smi printed: ``NVIDIA L4, 8.9, 580.95.05``; None where it is something else."""
    parts = [part.strip() for part in line.strip().split(",")]
    capability = parts[1].split(".") if len(parts) == 3 else []
    if len(capability) != 2 or not all(part.isdigit() for part in capability):
        return None
    return Device(parts[0], sm(int(capability[0]), int(capability[1])), parts[2])
