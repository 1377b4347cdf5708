"""The folder of one run: backends, heartbeats, log; and the environment of its processes."""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files as package_files
from pathlib import Path

from ...export.bundle.models import EMBEDDED_VARIABLE
from ..backends.heartbeat import VARIABLE as HEARTBEATS
from .files import LIBRARY, STUB, UTILITIES, ServerFiles
from .temporary import temporary_root

ONNXRUNTIME = '''\
"""ONNX Runtime for the embedded server; its body can be imported without the server."""

from framesift.serving.backends.onnxruntime import OnnxRuntime as TritonPythonModel  # noqa: F401
'''
# Of the caller's environment the models get what begins like one of these, but not what a client shows.
_PASSED_ON = ("CUDA_", "FRAMESIFT_", "HOME", "NVIDIA_", "TZ")
_KEPT_BACK = ("FRAMESIFT_TOKEN", "FRAMESIFT_TLS")
_PACKAGE = "framesift"


@dataclass(frozen=True)
class RunFolder:
    """What one run of the server writes and reads."""

    root: Path

    @property
    def backends(self) -> Path:
        """The backends of a server that lacks some; passed to it as its backend directory."""
        return self.root / "backends"

    @property
    def modules(self) -> Path:
        """Where the run's processes look for modules: they run the very framesift that starts them."""
        return self.root / "modules"

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

    def build(self, files: ServerFiles) -> None:
        """Make the folder anew, with backends for this interpreter where the server lacks some."""
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.root.chmod(0o700)
        for old in (self.backends, self.modules, self.heartbeats):
            shutil.rmtree(old, ignore_errors=True)
        for folder in (self.modules, self.heartbeats, self.work):
            folder.mkdir(parents=True, exist_ok=True)
        self.log.write_bytes(b"")
        self._link_package(self.modules)
        if files.backends is None:
            self._build_backends(files)

    def _build_backends(self, files: ServerFiles) -> None:
        python, onnxruntime = self.backends / "python", self.backends / "onnxruntime"
        for folder in (python, onnxruntime):
            folder.mkdir(parents=True)
        # Backends built on the Python one refuse its library as a link out of the folder, so it is copied; the stub
        # finds its own libraries beside the file that a link leads to.
        shutil.copy2(files.python / LIBRARY, python)
        (python / UTILITIES).symlink_to(files.python / UTILITIES)
        (python / STUB).symlink_to(files.stub)
        # This server's models look for modules here, and not where the environment says.
        self._link_package(python)
        (onnxruntime / "model.py").write_text(ONNXRUNTIME, encoding="utf-8")

    def _link_package(self, folder: Path) -> None:
        (folder / _PACKAGE).symlink_to(Path(str(package_files(_PACKAGE))).resolve())

    def environment(self, extra: Mapping[str, str]) -> dict[str, str]:
        """The environment of the server and its models: nothing of the caller's but what they need, and ``extra``."""
        passed = {
            key: value
            for key, value in os.environ.items()
            if key.startswith(_PASSED_ON) and not key.startswith(_KEPT_BACK)
        }
        library = libpython()
        # The loader's own folders come last by themselves; named first, they would hide a newer driver's libraries.
        named = library is not None and library.parent not in _loaders_folders()
        libraries = [str(library.parent) if library and named else "", os.environ.get("LD_LIBRARY_PATH", "")]
        return {
            "HOME": "/tmp",
            **passed,
            "TMPDIR": temporary_root(),
            # The stub takes its prefix from the python3 that comes first.
            "PATH": os.pathsep.join([str(Path(sys.prefix, "bin")), "/usr/local/bin", "/usr/bin", "/bin"]),
            "PYTHONPATH": os.pathsep.join([str(self.modules), sysconfig.get_path("purelib")]),
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
    folders = [
        Path(sysconfig.get_config_var("LIBDIR") or "/usr/lib"),
        Path(sys.base_prefix, "lib"),
        *_loaders_folders(),
    ]
    return next((folder / name for folder in folders if (folder / name).is_file()), None)


def _loaders_folders() -> list[Path]:
    multiarch = sysconfig.get_config_var("MULTIARCH")
    return [Path("/usr/lib64"), *([Path("/usr/lib", multiarch)] if multiarch else [])]
