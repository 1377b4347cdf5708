"""One GPU: its memory, and kernels that run there. Work is done in the order in which it is asked for."""

from __future__ import annotations

import contextlib
import ctypes
import math
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .code import Code, Source, compiled
from .library import Cuda, CudaError

# CUdevice_attribute: compute capability; CUfunction_attribute: dynamic shared memory.
_MAJOR, _MINOR, _SHARED = 75, 76, 8
# What a program may have of shared memory without being asked for.
_USUAL_SHARED = 48 << 10


class Device:
    """The GPU ``number`` of those that are visible. Every thread calls ``use`` before anything else.

    Raises:
        CudaError: there is none, or it does not start.
    """

    def __init__(self, cuda: Cuda, number: int, compiler: Callable[[Source, int], Code] = compiled) -> None:
        self.cuda, self.number, self._compiler = cuda, number, compiler
        device, context = ctypes.c_int(), ctypes.c_void_p()
        cuda("cuDeviceGet", ctypes.byref(device), ctypes.c_int(number))
        cuda("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
        self._context = context
        major, minor = (self._attribute(device, which) for which in (_MAJOR, _MINOR))
        self.arch = 10 * major + minor
        self.use()

    def use(self) -> None:
        """Make it this thread's."""
        self.cuda("cuCtxSetCurrent", self._context)

    def enter(self) -> None:
        """Make it this thread's until the driver's ``cuCtxPopCurrent``."""
        self.cuda("cuCtxPushCurrent_v2", self._context)

    @property
    def free(self) -> int:
        """Bytes of its memory that nothing takes."""
        free, total = ctypes.c_size_t(), ctypes.c_size_t()
        self.cuda("cuMemGetInfo_v2", ctypes.byref(free), ctypes.byref(total))
        return free.value

    def empty(self, shape: Sequence[int], dtype: npt.DTypeLike) -> Array:
        """An array whose values are anything.

        Raises:
            CudaError: there is no room.
        """
        return Array(self, tuple(shape), np.dtype(dtype))

    def sent(self, values: npt.NDArray[Any]) -> Array:
        """A copy of an array."""
        made = self.empty(values.shape, values.dtype)
        made.write(0, values)
        return made

    def load(self, source: Source) -> Kernel:
        """A kernel, compiled for this device.

        Raises:
            CudaError, RuntimeError: it can't be loaded or compiled.
        """
        return Kernel(self, self._compiler(source, self.arch))

    def pinned(self, shape: Sequence[int], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """An array of this machine's memory that the device reads without a copy on the way; it stays until the end."""
        count, pointer = max(1, math.prod(shape)), ctypes.c_void_p()
        size = count * np.dtype(dtype).itemsize
        self.cuda("cuMemHostAlloc", ctypes.byref(pointer), ctypes.c_size_t(size), ctypes.c_uint(0))
        assert pointer.value is not None
        return np.frombuffer(memoryview((ctypes.c_char * size).from_address(pointer.value)), dtype).reshape(shape)

    def _attribute(self, device: ctypes.c_int, which: int) -> int:
        value = ctypes.c_int()
        self.cuda("cuDeviceGetAttribute", ctypes.byref(value), ctypes.c_int(which), device)
        return value.value


class Array:
    """An array [N, ...] in a device's memory, which is given back with it."""

    def __init__(self, device: Device, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self.device, self.shape, self.dtype = device, shape, dtype
        pointer = ctypes.c_uint64()
        device.cuda("cuMemAlloc_v2", ctypes.byref(pointer), ctypes.c_size_t(max(1, math.prod(shape)) * dtype.itemsize))
        self.pointer = pointer.value
        weakref.finalize(self, _give_back, device, self.pointer)

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def row_bytes(self) -> int:
        """Of one entry of the first axis."""
        return math.prod(self.shape[1:]) * self.dtype.itemsize

    def at(self, row: int) -> int:
        """The address of an entry of the first axis."""
        return self.pointer + row * self.row_bytes

    def write(self, row: int, values: npt.NDArray[Any]) -> None:
        """Copy values [n, ...] to the entries from ``row`` on.

        Raises:
            ValueError: they have another dtype or shape, or don't fit.
        """
        if values.dtype != self.dtype or values.shape[1:] != self.shape[1:] or row + len(values) > len(self):
            raise ValueError(f"{values.dtype} {list(values.shape)} does not go into {self.dtype} {list(self.shape)}")
        source = np.ascontiguousarray(values)
        if source.nbytes:
            self.device.cuda(
                "cuMemcpyHtoD_v2",
                ctypes.c_uint64(self.at(row)),
                ctypes.c_void_p(source.ctypes.data),
                ctypes.c_size_t(source.nbytes),
            )

    def read(self, shape: Sequence[int] | None = None) -> npt.NDArray[Any]:
        """A copy of the array, or of as many of its first values as ``shape`` has, once all work before is done."""
        found = np.empty(self.shape if shape is None else tuple(shape), self.dtype)
        if found.nbytes:
            self.device.cuda(
                "cuMemcpyDtoH_v2",
                ctypes.c_void_p(found.ctypes.data),
                ctypes.c_uint64(self.pointer),
                ctypes.c_size_t(found.nbytes),
            )
        return found

    def copy(self, other: Array, rows: int) -> None:
        """Copy the first entries of another array of this device."""
        if rows:
            self.device.cuda(
                "cuMemcpyDtoD_v2",
                ctypes.c_uint64(self.pointer),
                ctypes.c_uint64(other.pointer),
                ctypes.c_size_t(rows * self.row_bytes),
            )


class Kernel:
    """A kernel that was loaded to a device."""

    def __init__(self, device: Device, code: Code) -> None:
        self._device, self._code = device, code
        module, function = ctypes.c_void_p(), ctypes.c_void_p()
        device.cuda("cuModuleLoadData", ctypes.byref(module), ctypes.c_char_p(code.image))
        device.cuda("cuModuleGetFunction", ctypes.byref(function), module, ctypes.c_char_p(code.name.encode()))
        if code.shared > _USUAL_SHARED:
            device.cuda("cuFuncSetAttribute", function, ctypes.c_int(_SHARED), ctypes.c_int(code.shared))
        self._function = function

    def launch(self, programs: int, *arguments: Array | int) -> None:
        """Start so many programs, and don't wait; ``arguments`` are in the order of the kernel's parameters.

        Raises:
            CudaError: it does not start.
        """
        code = self._code
        if len(arguments) != len(code.kinds):
            raise CudaError(f"{code.name} takes {len(code.kinds)} arguments, got {len(arguments)}")
        values: list[Any] = []
        for kind, value in zip(code.kinds, arguments, strict=True):
            pointer = kind.startswith("*")
            number = value.pointer if isinstance(value, Array) else value
            values.append(ctypes.c_uint64(number) if pointer else ctypes.c_int32(number))
        values += [ctypes.c_uint64(0) for _ in range(code.scratch)]
        addresses = (ctypes.c_void_p * len(values))(*(ctypes.addressof(value) for value in values))
        one, zero = ctypes.c_uint(1), ctypes.c_void_p()
        self._device.cuda(
            "cuLaunchKernel",
            self._function,
            *(ctypes.c_uint(programs), one, one),
            *(ctypes.c_uint(code.threads), one, one),
            ctypes.c_uint(code.shared),
            zero,
            addresses,
            zero,
        )


def _give_back(device: Device, pointer: int) -> None:
    # A thread may collect what is another device's than its own; at the end of a process the driver may have gone.
    with contextlib.suppress(CudaError):
        device.enter()
        device.cuda("cuMemFree_v2", ctypes.c_uint64(pointer))
        device.cuda("cuCtxPopCurrent_v2", ctypes.byref(ctypes.c_void_p()))
