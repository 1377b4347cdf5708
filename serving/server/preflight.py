"""What would make the embedded server hang or lie, found before it is started."""

from __future__ import annotations

import os
import platform
import shutil
import socket
import subprocess
import sys
import sysconfig
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from ...export.bundle.errors import ServerStartError

_PYTHONS = ((3, 10), (3, 12))
_SHARED_MEMORY = Path("/dev/shm")
_ENOUGH_SHARED_MEMORY = 64 << 20
_STUB_WITHOUT_ARGUMENTS = 1


def check_interpreter() -> None:
    """The Python that runs this also runs the models.

    Raises:
        ServerStartError: its version, its numpy, its lack of a shared libpython, or the machine's lack of bash or of
            shared memory would keep the Python backend from working.
    """
    version = sys.version_info[:2]
    if not _PYTHONS[0] <= version <= _PYTHONS[1]:
        raise ServerStartError(
            f"the embedded Triton server runs models with Python 3.10 to 3.12, this is {platform.python_version()}: "
            "make an environment with one of those"
        )
    if sys.platform != "linux" or platform.machine() != "x86_64":
        raise ServerStartError(
            f"the embedded Triton server needs Linux on x86-64, this is {sys.platform} {platform.machine()}"
        )
    if int(np.__version__.partition(".")[0]) >= 2:
        raise ServerStartError(
            f"the embedded Triton server needs numpy 1.26 and this environment has {np.__version__}, which it would "
            "read wrongly without an error: pip install 'numpy<2'"
        )
    if not sysconfig.get_config_var("Py_ENABLE_SHARED"):
        raise ServerStartError(
            f"{sys.executable} was built without a shared libpython, which the Python backend loads: use the system's "
            "Python, or build yours with --enable-shared"
        )
    if shutil.which("bash") is None:
        raise ServerStartError("the Python backend starts its processes through bash, which is not installed")
    free = os.statvfs(_SHARED_MEMORY)
    if free.f_bavail * free.f_frsize < _ENOUGH_SHARED_MEMORY:
        raise ServerStartError(
            f"{_SHARED_MEMORY} has less than {_ENOUGH_SHARED_MEMORY >> 20} MiB free: "
            "enlarge it (docker run --shm-size=1g)"
        )


def server_files() -> Path:
    """Where the wheel of nvidia-pytriton keeps the server.

    Raises:
        ServerStartError: it is not installed.
    """
    spec = find_spec("pytriton")
    locations = list(spec.submodule_search_locations or []) if spec else []
    files = Path(locations[0], "tritonserver") if locations else Path("absent")
    if not (files / "bin" / "tritonserver").is_file():
        raise ServerStartError("no Triton server is installed here: pip install 'framesift[server]'")
    return files


def check_path(path: Path, what: str) -> None:
    """The server hands paths to a shell unquoted, and hangs on those that the shell would split or expand.

    Raises:
        ServerStartError: the path holds white space or a character with a meaning to the shell.
    """
    bad = sorted({c for c in str(path) if c.isspace() or c in "'\"\\$`;&|()<>*?[]{}!#~"})
    if bad:
        raise ServerStartError(
            f"{what} is {path}, and Triton server can't start models from a path with {' '.join(map(repr, bad))}: "
            "choose another place (TMPDIR sets where temporary ones lie)"
        )


def check_stub(stub: Path, environment: dict[str, str]) -> None:
    """Run the model process' program once without arguments; with a library missing the server would wait for ever.

    Raises:
        ServerStartError: it does not start.
    """
    run = subprocess.run([str(stub)], env=environment, capture_output=True, text=True, timeout=30, check=False)
    if run.returncode != _STUB_WITHOUT_ARGUMENTS:
        reason = run.stderr.strip() or f"exit status {run.returncode}"
        raise ServerStartError(f"the Python backend's process does not start: {reason}")


def free_port(host: str) -> int:
    """A port of ``host`` that nobody listens on now."""
    with socket.socket(_family(host)) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def check_port(host: str, port: int) -> None:
    """Raises:
    ServerStartError: the port can't be listened on.
    """
    with socket.socket(_family(host)) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ServerStartError(
                f"can't listen on {host}:{port}: {error.strerror}; is another server running there?"
            ) from error


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
