"""The GPU of this machine, as its driver describes it."""

from __future__ import annotations

import os
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


def free_memory() -> list[int]:
    """Bytes that are free on every GPU that ``CUDA_VISIBLE_DEVICES`` leaves; empty where there is none or no driver."""
    return _memory("free")


def whole_memory() -> list[int]:
    """Bytes of every such GPU, whoever has them."""
    return _memory("total")


def parse_memory(lines: str) -> list[int]:
    """What nvidia-smi printed, MiB a line, in bytes; empty where it is something else."""
    numbers = [line.strip() for line in lines.splitlines() if line.strip()]
    return [int(number) << 20 for number in numbers] if all(number.isdigit() for number in numbers) else []


def parse_device(line: str) -> Device | None:
    """What nvidia-smi printed: ``NVIDIA L4, 8.9, 580.95.05``; None where it is something else."""
    parts = [part.strip() for part in line.strip().split(",")]
    capability = parts[1].split(".") if len(parts) == 3 else []
    if len(capability) != 2 or not all(part.isdigit() for part in capability):
        return None
    return Device(parts[0], sm(int(capability[0]), int(capability[1])), parts[2])


def _memory(which: str) -> list[int]:
    query = ["nvidia-smi", f"--query-gpu=memory.{which}", "--format=csv,noheader,nounits"]
    # nvidia-smi itself shows all.
    if (visible := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        query.append(f"--id={visible}")
    if visible == "":
        return []
    try:
        found = subprocess.run(query, capture_output=True, text=True, timeout=30, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    return parse_memory(found)
