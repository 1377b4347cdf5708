"""Run in the container before its server: do the engines deployed here fit this GPU and this TensorRT?

``python3 -m framesift.export.bundle.engines.check FOLDER`` exits with 1 and says what differs, where TensorRT would
refuse the engine with a serialisation error.
"""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path

from ..errors import EngineMismatch, FramesiftError
from ..store import Bundle, read_manifest
from .device import Device, local_device
from .folder import Engines
from .manifest import MANIFEST, EngineManifest

# The folder, beside the model repository, that holds both manifests.
CHECKED = "engines"
_LIBRARIES = tuple(f"libnvinfer.so.{major}" for major in (11, 10))


def library_version(names: tuple[str, ...] = _LIBRARIES) -> str:
    """The version, as in ``10.13.3``, of the first of these TensorRT libraries that can be loaded.

    Raises:
        EngineMismatch: none can.
    """
    for name in names:
        try:
            number = int(ctypes.CDLL(name).getInferLibVersion())
        except (OSError, AttributeError):
            continue
        return f"{number // 10_000}.{number // 100 % 100}.{number % 100}"
    raise EngineMismatch(f"there is no TensorRT here to run the engines: none of {', '.join(names)} can be loaded")


def check(folder: Path, device: Device | None, version: str) -> None:
    """Compare the engines of a deployment with the machine that shall run them.

    Args:
        folder: holds ``engines.json`` and the bundle's ``manifest.json``.
        version: of TensorRT, see ``Engines.check_device``.

    Raises:
        EngineError: the manifests can't be read.
        EngineMismatch: no GPU here, or one or a TensorRT that the engines are not for.
    """
    made = EngineManifest.from_json((folder / MANIFEST).read_text(encoding="utf-8"))
    bundle = Bundle(Path("BUNDLE"), read_manifest(folder))
    engines = Engines(folder, made, bundle)
    if device is None:
        raise EngineMismatch(f"the engines in {folder} need a GPU, and this machine shows none (start with --gpus all)")
    engines.check_device(device.capability, version, device.driver)


def main() -> int:
    """Check the folder that is the first argument."""
    try:
        check(Path(sys.argv[1]), local_device(), library_version())
    except (FramesiftError, OSError) as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
