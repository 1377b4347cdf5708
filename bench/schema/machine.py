"""What a row of results was measured on."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_ROOT = Path(__file__).parents[2]
PACKAGES = ("onnxruntime", "torch", "numpy")


@dataclass(frozen=True)
class Machine:
    """A machine and the software on it; empty is what is not there, or was not written down.

    Attributes:
        commit: short, with ``+`` where tracked files differed from it; empty outside a checkout.
        date: in UTC, as 2026-11-26.
        cores: that the process may use.
        device, driver: of the GPU.
        versions: of Python and of the packages that did the work.
    """

    commit: str = ""
    date: str = ""
    cpu: str = ""
    cores: int = 0
    device: str = ""
    driver: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        cpu = [f"{self.cpu}, {self.cores} cores"] if self.cpu else []
        driver = [f"driver {self.driver}"] if self.driver else []
        versions = [f"{name} {number}" for name, number in self.versions.items()]
        commit = [f"commit {self.commit}"] if self.commit else []
        return ", ".join(part for part in (*cpu, self.device, *driver, *versions, *commit, self.date) if part) + "."


def here(packages: tuple[str, ...] = PACKAGES) -> Machine:
    """This machine, with the versions of those of ``packages`` that are installed."""
    found = {name: number for name in packages if (number := _version(name))}
    return Machine(
        commit=_commit(),
        date=datetime.now(UTC).date().isoformat(),
        cpu=_processor(),
        cores=len(os.sched_getaffinity(0)),
        versions={"python": platform.python_version(), **found},
    )


def _commit() -> str:
    head = _git("rev-parse", "--short", "HEAD")
    changed = _git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!bench/results")
    return head + "+" * bool(changed)


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return model or platform.processor()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(["git", "-C", str(_ROOT), *arguments], capture_output=True, text=True, check=False)
    # Another machine may have no git.
    except OSError:
        return ""
    return done.stdout.strip()
