"""Tensors in a request's typed fields, as the bytes that Triton server reads."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...export.bundle.errors import InvalidRequest
from ...export.bundle.spec import DATA_TYPES

# KServe v2's name of every element type, by numpy's: Triton server's without what stands in front.
DATATYPES = {name: datatype.removeprefix("TYPE_") for name, datatype in DATA_TYPES.items() if name != "object"}
# The field of InferTensorContents that holds a type.
_FIELDS = {
    "BOOL": "bool_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
}
# Little-endian, as they are on the wire, by KServe v2's names.
DTYPES = {datatype: np.dtype(name).newbyteorder("<") for name, datatype in DATATYPES.items()}


def field_of(tensor: Any) -> str:
    """The field of an InferInputTensor's ``contents`` that holds its type.

    Raises:
        InvalidRequest: a type that has none.
    """
    found = _FIELDS.get(tensor.datatype)
    if found is None:
        raise InvalidRequest(f"{tensor.name} is {tensor.datatype}, which has no typed contents: send its bytes")
    return found


def raw_contents(tensor: Any) -> bytes:
    """The bytes of an InferInputTensor's ``contents``.

    Raises:
        InvalidRequest: a type that has no typed field, values in a field of another type, or beyond the type's range.
    """
    wanted = field_of(tensor)
    for field, values in tensor.contents.ListFields():
        if field.name != wanted and values:
            raise InvalidRequest(f"{tensor.name} is {tensor.datatype}, so its values belong into {wanted}")
    values = getattr(tensor.contents, wanted)
    dtype = DTYPES[tensor.datatype]
    array = np.array(values, dtype=np.int64 if wanted in ("int_contents", "uint_contents") else dtype)
    if dtype.kind in "iu" and dtype.itemsize < 8 and array.size:
        limits = np.iinfo(dtype)
        if not limits.min <= int(array.min()) <= int(array.max()) <= limits.max:
            raise InvalidRequest(f"{tensor.name} holds values that {tensor.datatype} does not")
    return array.astype(dtype, copy=False).tobytes()
