"""What the names in torch's pickles stand for here. Nothing is imported: a name that isn't listed is refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from .faults import Damaged, Forbidden
from .stored import MOST_DIMS, StorageType, tensor_of

# Names of dictionaries: no tensor has another kind, and comparing these is quick whatever a file holds.
_LARGEST_KEY = 1 << 31


@dataclass
class Inert:
    """Stands where the file has an object that isn't weights; ``state`` is what the file says is in it."""

    name: str
    state: Mapping[Any, Any] = field(default_factory=dict)

    def build(self, state: object) -> None:
        """Take what the file says is in it."""
        if isinstance(state, Mapping):
            self.state = state


@dataclass(frozen=True)
class Known:
    """A function or class of a file's by name, and what is done here in its place."""

    name: str
    call: Callable[..., object]


def find(module: str, name: str) -> object:
    """What stands for ``module.name``.

    Raises:
        Forbidden: nothing does.
    """
    path = f"{module}.{name}"
    if module == "__builtin__":
        # Python 2's names of built-in types, which protocol 2 keeps: torch's own default.
        path = f"builtins.{_PYTHON_2.get(name, name)}"
    if module == "torch" and name in _STORAGES:
        return StorageType(_STORAGES[name])
    if path == "torch.storage.UntypedStorage":
        return StorageType(torch.uint8)
    if module == "torch" and name in _DTYPES:
        return _DTYPES[name]
    if path in _FUNCTIONS:
        return Known(path, _FUNCTIONS[path])
    # The classes of a scripted module exist in its archive alone.
    if path in _INERT or path.startswith((*_INERT_MODULES, "__torch__.")):
        return inert(path)
    raise Forbidden(path)


def inert(path: str) -> Known:
    """A class whose objects are all inert."""
    return Known(path, lambda *_: Inert(path))


def put(target: object, key: object, value: object) -> None:
    """One item of a mapping of the file's; keys that can't be names are left out.

    Raises:
        Damaged: ``target`` is no mapping.
    """
    if isinstance(target, dict):
        if isinstance(key, str | bytes | None) or (isinstance(key, int) and abs(key) < _LARGEST_KEY):
            target[key] = value
    elif not isinstance(target, Inert):
        raise Damaged("an item is put into what is no mapping")


def mapping(items: Any = None, *_: Any) -> dict[Any, Any]:
    """An OrderedDict or Counter; old versions of Python hand over an OrderedDict's items as a list of pairs."""
    if isinstance(items, dict):
        return items
    made: dict[Any, Any] = {}
    # Items are moved, never copied: a file may hand over the same long list a million times.
    for key, value in items if isinstance(items, list) else ():
        put(made, key, value)
    if isinstance(items, list):
        items.clear()
    return made


def _size(sizes: Any = ()) -> tuple[Any, ...]:
    if not isinstance(sizes, tuple | list) or len(sizes) > MOST_DIMS:
        raise Damaged("a tensor's sizes are no short list of numbers")
    return tuple(sizes)


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> object:
    return tensor_of(storage, offset, shape, strides)


def _tensor_of_dtype(
    storage: Any, offset: Any, shape: Any, strides: Any, _: Any, __: Any, dtype: Any, *___: Any
) -> Any:
    return tensor_of(storage, offset, shape, strides, dtype)


def _wrapped(function: Any, _: Any, args: Any, *__: Any) -> object:
    """A tensor of a class of its own, or one with attributes."""
    if not isinstance(function, Known) or function.name == "torch._tensor._rebuild_from_type_v2":
        raise Damaged("a tensor is made by what makes none")
    return function.call(*args)


def _first(value: object, *_: object) -> object:
    return value


_STORAGES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
    "ComplexFloatStorage": torch.complex64,
    "ComplexDoubleStorage": torch.complex128,
}
_DTYPES = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in (*_STORAGES.values(), torch.float8_e4m3fn, torch.float8_e5m2, torch.uint16, torch.uint32, torch.uint64)
}
_FUNCTIONS: Mapping[str, Callable[..., object]] = {
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _tensor_of_dtype,
    "torch._utils._rebuild_parameter": _first,
    "torch._utils._rebuild_parameter_with_state": _first,
    "torch._tensor._rebuild_from_type_v2": _wrapped,
    "torch.Size": _size,
    "collections.OrderedDict": mapping,
    "collections.Counter": mapping,
    "collections.defaultdict": lambda *_: {},
    "torch.jit._pickle.restore_type_tag": _first,
    **{f"torch.jit._pickle.build_{kind}list": _first for kind in ("int", "double", "bool", "tensor")},
}
_PYTHON_2 = {"long": "int", "unicode": "str", "xrange": "range"}
# Authors' files hold such objects beside the weights: training logs (STAN), configurations (Frozen in Time, MMT,
# Lightning), numbers of numpy's. No more of them is kept than their state.
_INERT = {
    "_codecs.encode",
    "argparse.Namespace",
    "builtins.bool",
    "builtins.bytearray",
    "builtins.bytes",
    "builtins.complex",
    "builtins.dict",
    "builtins.float",
    "builtins.frozenset",
    "builtins.int",
    "builtins.list",
    "builtins.object",
    "builtins.range",
    "builtins.set",
    "builtins.slice",
    "builtins.str",
    "builtins.tuple",
    "builtins.type",
    "collections.deque",
    "datetime.date",
    "datetime.datetime",
    "datetime.timedelta",
    "easydict.EasyDict",
    "mmengine.logging.history_buffer.HistoryBuffer",
    "numpy.core.multiarray._reconstruct",
    "numpy.core.multiarray.scalar",
    "numpy.core.numeric._frombuffer",
    "numpy._core.multiarray._reconstruct",
    "numpy._core.multiarray.scalar",
    "numpy._core.numeric._frombuffer",
    "numpy.dtype",
    "numpy.ndarray",
    "parse_config.ConfigParser",
    "pathlib.Path",
    "pathlib.PosixPath",
    "pathlib.PurePosixPath",
    "pathlib.WindowsPath",
    "pathlib._local.Path",
    "pathlib._local.PosixPath",
    "pathlib._local.WindowsPath",
    "torch.Tensor",
    "torch.device",
    "torch.nn.parameter.Buffer",
    "torch.nn.parameter.Parameter",
    "torch.serialization._get_layout",
    "types.SimpleNamespace",
    "typing.Any",
}
_INERT_MODULES = (
    # Configurations, of whatever library.
    "addict.",
    "detectron2.config.",
    "fvcore.common.config.",
    "ml_collections.",
    "mmcv.utils.",
    "mmengine.config.",
    "omegaconf.",
    "transformers.",
    "yacs.config.",
    "lightning_fabric.utilities.",
    "lightning.fabric.utilities.",
    "lightning.pytorch.callbacks.",
    "pytorch_lightning.callbacks.",
    "pytorch_lightning.utilities.",
    "sacred.config.",
    "numpy.dtypes.",
)
