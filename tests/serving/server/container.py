"""A container's deployment, started by its own script, on the wheel's Triton server laid out as the image's."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from framesift.serving.front.supervision import Supervision
from framesift.serving.server.files import LIBRARY, STUB, UTILITIES, of_wheel
from framesift.serving.server.processes import arguments
from framesift.serving.server.run_folder import ONNXRUNTIME

# What the script's own environment must not have of the tests'.
_CLEAN = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}


def image(root: Path, deployment: Path, python: str) -> Path:
    """A folder like /opt/tritonserver, with the stub of this version of Python.

    The image's stub looks for modules where the environment says. The wheel's, which is older, does not, so it finds
    framesift beside the backend.
    """
    wheel = of_wheel()
    (root / "bin").mkdir(parents=True)
    (root / "bin/tritonserver").symlink_to(wheel.binary)
    (root / "caches").symlink_to(wheel.caches)
    backend, onnxruntime = root / "backends/python", root / "backends/onnxruntime"
    backend.mkdir(parents=True)
    onnxruntime.mkdir()
    shutil.copy2(wheel.python / LIBRARY, backend)
    (backend / UTILITIES).symlink_to(wheel.python / UTILITIES)
    (backend / STUB).symlink_to(wheel.stub.parents[1] / python / STUB)
    (backend / "framesift").symlink_to(deployment / "python/framesift")
    (onnxruntime / "model.py").write_text(ONNXRUNTIME)
    return root


@dataclass(frozen=True)
class Container:
    """A start.sh that runs."""

    address: str
    run: Path
    environment: Mapping[str, str]
    process: subprocess.Popen[str]

    def pid(self, name: str) -> int:
        """The present process id of "tritonserver" or "door"."""
        return Supervision(self.run).pid(name)

    @property
    def mark(self) -> str:
        """What the run's processes and shared memory are known by."""
        found = re.search(r"framesift-[0-9a-f]{12}-", b" ".join(arguments(self.pid("tritonserver"))).decode())
        assert found is not None
        return found.group()

    def command(self, *words: str) -> int:
        """What a command that is run in the container exits with."""
        python = ["python3", "-P", "-m", *words]
        return subprocess.run(python, env=dict(self.environment), capture_output=True, check=False).returncode


def environment(python: Path, **settings: object) -> dict[str, str]:
    """The environment of a start.sh whose python3 lies in the folder ``python``."""
    told = {f"FRAMESIFT_{name.upper()}": str(value) for name, value in settings.items()}
    return {**_CLEAN, "PATH": f"{python}:{_CLEAN['PATH']}", **told}


@contextmanager
def started(deployment: Path, told: Mapping[str, str], log: Path) -> Iterator[Container]:
    """Run the deployment's start.sh until the block ends, from when it says that it is ready."""
    with log.open("w") as output:
        process = subprocess.Popen(
            [deployment / "start.sh"], env=dict(told), cwd="/", stdout=subprocess.PIPE, stderr=output, text=True
        )
    assert process.stdout is not None
    try:
        lines = []
        while "log" not in (line := process.stdout.readline()):
            lines.append(line)
            assert line, log.read_text()
        # As lines, or as JSON.
        address, log_file = (
            found.group(1) if (found := re.search(pattern, text)) else ""
            for pattern, text in ((r"gRPC ([\d.:]+)", lines[0]), (r" log (/[^\s\"]+)", line))
        )
        run = Path(log_file).parent
        inside = {**told, "PYTHONPATH": str(deployment / "python")}
        yield Container(address, run, inside, process)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                os.kill(process.pid, signal.SIGKILL)
                process.wait()
        process.stdout.close()
