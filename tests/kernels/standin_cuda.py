"""A driver whose GPUs are this machine's memory, and whose kernels are run by whoever makes it.

It has the functions of NVIDIA's driver that ``kernels/cuda`` calls, by their names and with their arguments, and is as
strict: pointers must lie in what was allocated and not given back, and a thread must have a context.
"""

from __future__ import annotations

import ctypes
import re
import threading
from collections.abc import Callable, Mapping
from typing import Any

import torch

from framesift.kernels.cuda.code import Code, Source

DTYPES = {
    "fp16": torch.float16,
    "fp32": torch.float32,
    "fp64": torch.float64,
    "i32": torch.int32,
    "i8": torch.int8,
    "u8": torch.uint8,
}
POISON = 0xA5
NO_MEMORY, BAD_CONTEXT, BAD_VALUE = 2, 201, 1
Execute = Callable[[Source, int, Mapping[str, Any]], None]


class StandinCuda:
    """``devices`` GPUs with so many bytes each; ``execute`` runs a kernel's programs on tensors."""

    def __init__(self, execute: Execute, devices: int = 1, memory: int = 1 << 32) -> None:
        self._execute, self.count, self.memory = execute, devices, memory
        # By address: which device an allocation is on, and its bytes.
        self.allocated: dict[int, tuple[int, torch.Tensor]] = {}
        self._sources: list[Source] = []
        self._local = threading.local()
        self._pinned: list[Any] = []
        self.launches: list[str] = []

    def __getattr__(self, name: str) -> Any:
        """The driver's name of a function, such as cuMemAlloc_v2, to the one that it has here."""
        if not name.startswith("cu"):
            raise AttributeError(name)
        return getattr(self, re.sub(r"(?<!^)(?=[A-Z])", "_", name[2:].removesuffix("_v2")).lower())

    def compiled(self, source: Source, arch: int) -> Code:
        """In the place of the compiler."""
        assert arch == 80
        self._sources.append(source)
        kinds = tuple(source.types[name] for name in source.kernel.arg_names if name in source.types)
        return Code(f"kernel{len(self._sources) - 1}", b"image", kinds, 128, 64 << 10, 2)

    def used(self, device: int) -> int:
        return sum(len(held) for number, held in self.allocated.values() if number == device)

    def init(self, flags: Any) -> int:
        return 0

    def get_error_string(self, state: Any, told: Any) -> int:
        told._obj.value = {NO_MEMORY: b"out of memory", BAD_CONTEXT: b"invalid context"}.get(state.value, b"bad value")
        return 0

    def device_get_count(self, count: Any) -> int:
        count._obj.value = self.count
        return 0

    def device_get(self, device: Any, number: Any) -> int:
        device._obj.value = number.value
        return 0 if number.value < self.count else BAD_VALUE

    def device_get_attribute(self, value: Any, which: Any, device: Any) -> int:
        value._obj.value = {75: 8, 76: 0}[which.value]
        return 0

    def device_primary_ctx_retain(self, context: Any, device: Any) -> int:
        context._obj.value = 1000 + device.value
        return 0

    @property
    def _contexts(self) -> list[int]:
        if not hasattr(self._local, "contexts"):
            self._local.contexts = []
        found: list[int] = self._local.contexts
        return found

    def ctx_set_current(self, context: Any) -> int:
        self._contexts[-1:] = [context.value - 1000]
        return 0

    def ctx_push_current(self, context: Any) -> int:
        self._contexts.append(context.value - 1000)
        return 0

    def ctx_pop_current(self, context: Any) -> int:
        self._contexts.pop()
        return 0

    def mem_get_info(self, free: Any, total: Any) -> int:
        free._obj.value, total._obj.value = self.memory - self.used(self._contexts[-1]), self.memory
        return 0

    def mem_alloc(self, pointer: Any, size: Any) -> int:
        if not self._contexts:
            return BAD_CONTEXT
        device = self._contexts[-1]
        if self.used(device) + size.value > self.memory:
            return NO_MEMORY
        # As a GPU's driver does, which the kernels were compiled for.
        held = torch.full((size.value + 256,), POISON, dtype=torch.uint8)
        start = -held.data_ptr() % 256
        held = held[start : start + size.value]
        self.allocated[held.data_ptr()] = device, held
        pointer._obj.value = held.data_ptr()
        return 0

    def mem_free(self, pointer: Any) -> int:
        device, _ = self.allocated.pop(pointer.value)
        assert device == self._contexts[-1]
        return 0

    def mem_host_alloc(self, pointer: Any, size: Any, flags: Any) -> int:
        self._pinned.append(ctypes.create_string_buffer(size.value))
        pointer._obj.value = ctypes.addressof(self._pinned[-1])
        return 0

    def memcpy_hto_d(self, to: Any, source: Any, size: Any) -> int:
        return self._copy(to.value, source.value, size.value, to.value)

    def memcpy_dto_h(self, to: Any, source: Any, size: Any) -> int:
        return self._copy(to.value, source.value, size.value, source.value)

    def memcpy_dto_d(self, to: Any, source: Any, size: Any) -> int:
        self.at(source.value, size.value)
        return self._copy(to.value, source.value, size.value, to.value)

    def _copy(self, to: int, source: int, size: int, here: int) -> int:
        self.at(here, size)
        ctypes.memmove(to, source, size)
        return 0

    def module_load_data(self, module: Any, image: Any) -> int:
        return 0 if image.value == b"image" else BAD_VALUE

    def module_get_function(self, function: Any, module: Any, name: Any) -> int:
        function._obj.value = 1 + int(name.value.removeprefix(b"kernel"))
        return 0

    def func_set_attribute(self, function: Any, which: Any, value: Any) -> int:
        assert (which.value, value.value) == (8, 64 << 10)
        return 0

    def launch_kernel(self, function: Any, *rest: Any) -> int:
        programs, one, two, threads, three, four, shared, _, addresses, _ = rest
        assert (one.value, two.value, three.value, four.value, threads.value, shared.value) == (
            1,
            1,
            1,
            1,
            128,
            64 << 10,
        )
        source = self._sources[function.value - 1]
        names = [name for name in source.kernel.arg_names if name in source.types]
        given: dict[str, Any] = {}
        for name, address in zip(names, addresses, strict=False):
            kind = source.types[name]
            if kind.startswith("*"):
                dtype = DTYPES[kind[1:]]
                held = self.at(ctypes.c_uint64.from_address(address).value, 0)
                given[name] = held[: len(held) // dtype.itemsize * dtype.itemsize].view(dtype)
            else:
                given[name] = ctypes.c_int32.from_address(address).value
        assert [ctypes.c_uint64.from_address(address).value for address in addresses[len(names) :]] == [0, 0]
        self.launches.append(source.kernel.__name__)
        self._execute(source, programs.value, given)
        return 0

    def at(self, pointer: int, size: int) -> torch.Tensor:
        """What lies at an address, to the end of its allocation."""
        for start, (device, held) in self.allocated.items():
            if start <= pointer < start + max(1, len(held)):
                assert device == self._contexts[-1], f"device {device} is used by a thread of {self._contexts[-1]}"
                assert pointer + size <= start + len(held), "beyond the end of an allocation"
                return held[pointer - start :]
        raise AssertionError(f"{pointer:x} is no address of a device")
