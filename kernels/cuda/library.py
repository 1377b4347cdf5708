"""NVIDIA's driver by ctypes, as far as a search needs it: neither torch nor a CUDA toolkit has to be installed."""

from __future__ import annotations

import ctypes
from typing import Any

DRIVER = "libcuda.so.1"


class CudaError(RuntimeError):
    """The driver refused a call, or there is none."""


class Cuda:
    """Calls of the driver, each checked; ``library`` has its functions by name.

    Raises:
        CudaError: the driver does not start.
    """

    def __init__(self, library: Any) -> None:
        self._library = library
        self("cuInit", ctypes.c_uint(0))

    def __call__(self, name: str, *arguments: Any) -> None:
        """Call a function of the driver.

        Raises:
            CudaError: it returned anything but success.
        """
        state = getattr(self._library, name)(*arguments)
        if state:
            told = ctypes.c_char_p()
            self._library.cuGetErrorString(ctypes.c_int(state), ctypes.byref(told))
            reason = (told.value or b"an error without a name").decode("ascii", "replace")
            raise CudaError(f"{name}: {reason} ({state})")

    @property
    def devices(self) -> int:
        """How many GPUs ``CUDA_VISIBLE_DEVICES`` leaves."""
        count = ctypes.c_int()
        self("cuDeviceGetCount", ctypes.byref(count))
        return count.value


def installed() -> Cuda | None:
    """The driver of this machine; None where it has none, or one without a GPU."""
    try:
        cuda = Cuda(ctypes.CDLL(DRIVER))
    except (OSError, CudaError):
        return None
    return cuda if cuda.devices else None
