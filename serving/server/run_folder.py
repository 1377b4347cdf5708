"""The folder of one run: backends, heartbeats, log; and the environment of its processes."""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from ...export.bundle.models import EMBEDDED_VARIABLE
from ..backends.heartbeat import VARIABLE as HEARTBEATS

_ONNXRUNTIME = '''\
"""ONNX Runtime for the embedded server; its body can be imported without the server."""

from framesift.serving.backends.onnxruntime import OnnxRuntime as TritonPythonModel  # noqa: F401
'''
# Of the caller's environment the models get what begins like one of these, but not what a client shows.
_PASSED_ON = ("CUDA_", "FRAMESIFT_", "HOME", "NVIDIA_", "TMPDIR", "TZ")
_KEPT_BACK = ("FRAMESIFT_TOKEN", "FRAMESIFT_TLS")
_PACKAGE = "framesift"


@dataclass(frozen=True)
class RunFolder:
    """What one run of the server writes and reads."""

    root: Path

    @property
    def backends(self) -> Path:
        """Passed to the server as its backend directory."""
        return self.root / "backends"

    @property
    def stub(self) -> Path:
        """The program of a Python model's process."""
        return self.backends / "python" / "triton_python_backend_stub"

    @property
    def heartbeats(self) -> Path:
        """Where the models' processes write their signs of life."""
        return self.root / "heartbeats"

    @property
    def work(self) -> Path:
        """The processes' working directory. Python looks for modules there first, so it stays empty."""
        return self.root / "work"

    @property
    def triton(self) -> Path:
        """Triton server's socket for HTTP. The folder's mode keeps other users from it."""
        return self.root / "triton"

    @property
    def triton_metrics(self) -> Path:
        """Triton server's socket for metrics."""
        return self.root / "metrics"

    @property
    def log(self) -> Path:
        """Everything that the server and its models print."""
        return self.root / "server.log"

    def build(self, server: Path) -> None:
        """Lay out the backends for this interpreter; ``server`` is where the wheel keeps the server."""
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.root.chmod(0o700)
        for old in (self.backends, self.heartbeats):
            shutil.rmtree(old, ignore_errors=True)
        python, onnxruntime = self.backends / "python", self.backends / "onnxruntime"
        for folder in (python, onnxruntime, self.heartbeats, self.work):
            folder.mkdir(parents=True, exist_ok=True)
        self.log.write_bytes(b"")
        # Backends built on the Python one refuse its library as a link out of the folder, so it is copied; the stub
        # finds its own libraries beside the file that a link leads to.
        shutil.copy2(server / "backends/python/libtriton_python.so", python)
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        utilities = "triton_python_backend_utils.py"
        (python / utilities).symlink_to(server / "backends/python" / utilities)
        # The models' processes look for modules here, so they run the very framesift that starts them.
        (python / _PACKAGE).symlink_to(Path(str(files(_PACKAGE))).resolve())
        self.stub.symlink_to(server / "python_backend_stubs" / version / self.stub.name)
        (onnxruntime / "model.py").write_text(_ONNXRUNTIME, encoding="utf-8")

    def environment(self, extra: Mapping[str, str]) -> dict[str, str]:
        """The environment of the server and its models: nothing of the caller's but what they need, and ``extra``."""
        passed = {
            key: value
            for key, value in os.environ.items()
            if key.startswith(_PASSED_ON) and not key.startswith(_KEPT_BACK)
        }
        library = libpython()
        libraries = [str(library.parent) if library else "", os.environ.get("LD_LIBRARY_PATH", "")]
        return {
            "HOME": "/tmp",
            **passed,
            # The stub takes its prefix from the python3 that comes first.
            "PATH": os.pathsep.join([str(Path(sys.prefix, "bin")), "/usr/local/bin", "/usr/bin", "/bin"]),
            # For the keeper.
            "PYTHONPATH": str(self.backends / "python"),
            # Without the first folder the stub takes whatever libpython the system has, or none.
            "LD_LIBRARY_PATH": os.pathsep.join(filter(None, libraries)),
            "LANG": "C.UTF-8",
            # One process a model: threads of each model's numpy would only take the cores from the other models.
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
            HEARTBEATS: str(self.heartbeats),
            EMBEDDED_VARIABLE: "1",
            **extra,
        }


def libpython() -> Path | None:
    """This interpreter's shared library; None if it has none.

    Distributions and relocated builds keep it elsewhere than the interpreter's own configuration says.
    """
    name = f"libpython{sys.version_info.major}.{sys.version_info.minor}.so.1.0"
    configured, multiarch = sysconfig.get_config_var("LIBDIR"), sysconfig.get_config_var("MULTIARCH")
    folders = [Path(configured or "/usr/lib"), Path(sys.base_prefix, "lib"), Path("/usr/lib64")]
    folders += [Path("/usr/lib", multiarch)] if multiarch else []
    return next((folder / name for folder in folders if (folder / name).is_file()), None)
