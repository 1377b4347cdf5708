"""Where a Triton server lies: in the wheel of nvidia-pytriton, or in NVIDIA's image."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from ...export.bundle.errors import ServerStartError

STUB = "triton_python_backend_stub"
LIBRARY = "libtriton_python.so"
UTILITIES = "triton_python_backend_utils.py"


@dataclass(frozen=True)
class ServerFiles:
    """One Triton server's files.

    Attributes:
        binary: the server.
        caches: folder of its response caches.
        python: folder of the Python backend.
        stub: the program of a Python model's process, for this Python.
        backends: folder of all backends; None where there is the Python backend alone, and the run has to add one that
            runs graphs.
        options: arguments that this server takes beside those of every server.
    """

    binary: Path
    caches: Path
    python: Path
    stub: Path
    backends: Path | None
    options: Sequence[str]


def of_wheel() -> ServerFiles:
    """The server in the wheel of nvidia-pytriton.

    Raises:
        ServerStartError: it is not installed.
    """
    spec = find_spec("pytriton")
    locations = list(spec.submodule_search_locations or []) if spec else []
    root = Path(locations[0], "tritonserver") if locations else Path("absent")
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    files = ServerFiles(
        binary=root / "bin/tritonserver",
        caches=root / "caches",
        python=root / "backends/python",
        stub=root / "python_backend_stubs" / version / STUB,
        backends=None,
        # Where a model has a configuration of this name, it is for the backends of this package.
        options=("--model-config-name=embedded", "--allow-gpu-metrics=false", "--pinned-memory-pool-byte-size=0"),
    )
    if not files.binary.is_file():
        raise ServerStartError("no Triton server is installed here: pip install 'framesift[server]'")
    return files


def of_image(root: Path, configuration: str = "") -> ServerFiles:
    """The server in a folder that is laid out as /opt/tritonserver in NVIDIA's image.

    Args:
        configuration: name of the models' configurations to use where there are such; without one the usual ones.

    Raises:
        ServerStartError: there is none in that folder.
    """
    backends = root / "backends"
    files = ServerFiles(
        binary=root / "bin/tritonserver",
        caches=root / "caches",
        python=backends / "python",
        stub=backends / "python" / STUB,
        backends=backends,
        options=(f"--model-config-name={configuration}",) if configuration else (),
    )
    for path in (files.binary, files.stub, backends / "onnxruntime"):
        if not path.exists():
            raise ServerStartError(
                f"there is no {path.relative_to(root)} in {root}: name the folder of a Triton server that is laid out "
                "as in NVIDIA's image, with its Python and ONNX Runtime backends"
            )
    return files
