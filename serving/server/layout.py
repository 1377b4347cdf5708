"""The folder of one run: backends, heartbeats, log; and the environment of its processes."""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from ..backends.heartbeat import VARIABLE as HEARTBEATS

_ONNXRUNTIME = '''\
"""ONNX Runtime for the embedded server; its body can be imported without the server."""

from framesift.serving.backends.onnxruntime import OnnxRuntime as TritonPythonModel  # noqa: F401
'''


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
    def log(self) -> Path:
        """Everything that the server and its models print."""
        return self.root / "server.log"

    def build(self, server: Path) -> None:
        """Lay out the backends for this interpreter; ``server`` is where the wheel keeps the server."""
        python, onnxruntime = self.backends / "python", self.backends / "onnxruntime"
        for folder in (python, onnxruntime, self.heartbeats):
            folder.mkdir(parents=True, exist_ok=True)
        # Backends built on the Python one refuse its library as a link out of the folder, so it is copied; the stub
        # finds its own libraries beside the file that a link leads to.
        shutil.copy2(server / "backends/python/libtriton_python.so", python)
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        _link(
            python / "triton_python_backend_utils.py",
            server / "backends/python/triton_python_backend_utils.py",
        )
        _link(self.stub, server / "python_backend_stubs" / version / "triton_python_backend_stub")
        (onnxruntime / "model.py").write_text(_ONNXRUNTIME, encoding="utf-8")

    def environment(self, extra: dict[str, str]) -> dict[str, str]:
        """The environment of the server and its models: nothing of the caller's but what they need, and ``extra``."""
        return {
            # The stub takes its prefix from the python3 that comes first.
            "PATH": os.pathsep.join([str(Path(sys.prefix, "bin")), "/usr/local/bin", "/usr/bin", "/bin"]),
            # Without it the stub takes whatever libpython the system has, or none.
            "LD_LIBRARY_PATH": str(sysconfig.get_config_var("LIBDIR")),
            "HOME": os.environ.get("HOME", "/tmp"),
            "LANG": "C.UTF-8",
            # A __pycache__ in a version's folder would make the server believe that the model has changed.
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONUNBUFFERED": "1",
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
            HEARTBEATS: str(self.heartbeats),
            "FRAMESIFT_EMBEDDED": "1",
            **extra,
        }


def _link(link: Path, target: Path) -> None:
    link.unlink(missing_ok=True)
    link.symlink_to(target)
