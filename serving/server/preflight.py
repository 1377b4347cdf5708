"""What would make the embedded server hang or read tensors wrongly, found before the start."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from ...export.bundle.errors import ServerStartError
from ..front.arena import ENLARGE
from .cleanup import SHARED_MEMORY
from .run_folder import libpython
from .temporary import faults
from .unix_http import LONGEST_PATH

_PYTHONS = ((3, 11), (3, 12))
_MIB = 1 << 20
# Every instance takes one MiB at its start, and as much more as its largest batch needs.
_MEMORY = 16 * _MIB
_MEMORY_OF_A_MODEL = 2 * _MIB
_ENSEMBLE = 'platform: "ensemble"'
# A large request lies there once, and each of the two decoders' processes keeps as much as the largest it was given.
_COPIES = 3
_STUB_WITHOUT_ARGUMENTS = 1
_PROBE_S = 60
# Isolated, as the models' interpreter is: it sees neither PYTHONPATH nor what was installed for one user alone.
_PROBE = """
import importlib.metadata, json, sys
found = list(importlib.metadata.distributions(name="numpy"))
print(json.dumps([sys.prefix, list(sys.version_info[:2]), found[0].version if found else None]))
"""


def check_machine() -> None:
    """The machine, and the Python that runs this and will also run the models.

    Raises:
        ServerStartError: the server can't work with them.
    """
    if sys.platform != "linux" or platform.machine() != "x86_64":
        raise ServerStartError(
            f"the embedded Triton server needs Linux on x86-64, this is {sys.platform} on {platform.machine()}: "
            "use NVIDIA's container (`framesift repository deploy`)"
        )
    if not _PYTHONS[0] <= sys.version_info[:2] <= _PYTHONS[1]:
        raise ServerStartError(
            f"the embedded Triton server runs models with Python 3.11 or 3.12, this is {platform.python_version()}: "
            "make an environment with one of them"
        )
    if libpython() is None:
        raise ServerStartError(
            f"{sys.executable} has no shared libpython, which the Python backend loads: install it (on Debian and "
            "Ubuntu: apt install libpython3-dev), or build Python with --enable-shared (with pyenv: "
            "PYTHON_CONFIGURE_OPTS=--enable-shared)"
        )
    if shutil.which("bash") is None:
        raise ServerStartError("Triton server starts the models' processes through bash, which is not installed")


def check_path(path: Path, what: str) -> None:
    """Whether the server can use a path: see ``temporary.faults``.

    Raises:
        ServerStartError: the path holds white space, a character with a meaning to the shell, or one beyond ASCII.
    """
    if bad := faults(str(path)):
        raise ServerStartError(
            f"{what} is {path}, and Triton server can't start models from a path with {' '.join(map(repr, bad))}: "
            "choose another place (TMPDIR sets where temporary ones lie)"
        )


def check_socket(path: Path) -> None:
    """The kernel's addresses of unix sockets are short.

    Raises:
        ServerStartError: the path is too long for one.
    """
    if len(os.fsencode(path)) > LONGEST_PATH:
        raise ServerStartError(
            f"the run's folder is {path.parent}, and sockets in it would have paths of more than {LONGEST_PATH} bytes: "
            "choose a shorter place (TMPDIR sets where temporary ones lie)"
        )


def check_repository(repository: Path) -> int:
    """Every model's folder, and room for its processes in shared memory.

    Returns:
        The bytes of large requests that may lie in shared memory at once.

    Raises:
        ServerStartError: there are no models, a path can't be used, or the shared memory is too small.
    """
    check_path(repository, "the model repository")
    if not repository.is_dir():
        raise ServerStartError(f"there is no model repository at {repository}")
    models = [path.parent for path in sorted(repository.glob("*/config.pbtxt"))]
    if not models:
        raise ServerStartError(f"{repository} holds no model: expected folders with a config.pbtxt")
    for model in models:
        check_path(model, "a model's folder")
    try:
        memory = os.statvfs(SHARED_MEMORY)
    except OSError as error:
        raise ServerStartError(f"Triton server needs shared memory at {SHARED_MEMORY}: {error.strerror}") from error
    # An ensemble has no process, and so no queue of messages.
    processes = [model for model in models if _ENSEMBLE not in (model / "config.pbtxt").read_text(encoding="utf-8")]
    free, needed = memory.f_bavail * memory.f_frsize, _MEMORY + len(processes) * _MEMORY_OF_A_MODEL
    if free < needed:
        raise ServerStartError(
            f"{SHARED_MEMORY} has {free // _MIB} MiB free, {len(processes)} models need {needed // _MIB} and what "
            f"their tensors take: {ENLARGE}"
        )
    return (free - needed) // _COPIES


def check_processes(stub: Path, environment: Mapping[str, str]) -> None:
    """Run what the server will run for each model, once, because with a library missing it would wait for ever.

    Raises:
        ServerStartError: the models' processes would not start, would use another Python, or a numpy that the server's
            Python backend can't work with.
    """
    asked = _run(["python3", "-I", "-c", _PROBE], environment)
    try:
        prefix, found, numpy = json.loads(asked.stdout)
    except ValueError as error:
        raise ServerStartError(f"python3 does not run for the models: {_last_line(asked.stderr)}") from error
    if (prefix, tuple(found)) != (sys.prefix, sys.version_info[:2]):
        raise ServerStartError(
            f"the models would run with the Python {found[0]}.{found[1]} of {prefix}, not with {sys.executable}: "
            "make a virtual environment, so that its python3 is this one"
        )
    if numpy is None:
        raise ServerStartError(f"the models find no numpy in {prefix}: pip install 'framesift[server]' there")
    if not numpy.startswith("1."):
        raise ServerStartError(
            f"the embedded Triton server needs numpy 1.26, and {prefix} has {numpy}, with which it would read every "
            "tensor wrongly, without an error: pip install 'numpy>=1.26,<2'"
        )
    run = _run([str(stub)], environment)
    if run.returncode != _STUB_WITHOUT_ARGUMENTS:
        raise ServerStartError(
            f"the Python backend's process does not start (status {run.returncode}): {_last_line(run.stderr)}"
        )


def _run(command: list[str], environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command, env=dict(environment), cwd="/", capture_output=True, text=True, timeout=_PROBE_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ServerStartError(f"{command[0]} does not run: {error}") from error


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["it said nothing"])[-1]
