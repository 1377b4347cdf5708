"""An ONNX file written straight from a model's tensors.

A model that is serialised as a whole is in memory three times: its weights, a message with their bytes, and the bytes
of the message. Here the message is made without the weights, and they are written where they belong in it.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import numpy as np
import onnx
from google.protobuf.message import Message
from onnx import GraphProto, ModelProto, TensorProto
from onnxscript import ir

from .bundle.errors import BundleError

# What protobuf allows one message, and so what every reader of the file takes.
LARGEST = (1 << 31) - 1
# Smaller tensors stay in the message: a checker wants to see the values of shapes and indices.
_LEAST = 1024
# How protobuf marks a field whose length goes before it.
_DELIMITED = 2


class OnnxFile:
    """A model whose weights stay where they are until they are written.

    Args:
        model: its large initializers are taken out of it.
    """

    def __init__(self, model: ir.Model) -> None:
        self._weights: dict[str, ir.TensorProtocol] = {}
        for name, value in model.graph.initializers.items():
            tensor = value.const_value
            if tensor is not None and tensor.nbytes >= _LEAST:
                self._weights[name] = tensor
                shape = ir.Shape(tensor.shape.numpy())
                value.const_value = ir.ExternalTensor("-", 0, 0, tensor.dtype, shape=shape, name=name)
        self._message: ModelProto = ir.to_proto(model)
        for header in self._message.graph.initializer:
            if header.name in self._weights:
                header.ClearField("external_data")
                header.ClearField("data_location")

    def outline(self) -> ModelProto:
        """The model without its weights, which are inputs in it, so that a checker can read it."""
        model = ModelProto()
        model.CopyFrom(self._message)
        del model.graph.initializer[:]
        for header in self._message.graph.initializer:
            if header.name in self._weights:
                weight = onnx.helper.make_tensor_value_info(header.name, header.data_type, list(header.dims))
                model.graph.input.append(weight)
            else:
                model.graph.initializer.append(header)
        return model

    def write(self, path: Path) -> None:
        """Write the bytes that ``onnx.save`` would write.

        Raises:
            BundleError: they are more than an ONNX file can have.
        """
        tensors = list(self._message.graph.initializer)
        graph_before, graph_after = _around(self._message.graph, GraphProto.INITIALIZER_FIELD_NUMBER)
        before, after = _around(self._message, ModelProto.GRAPH_FIELD_NUMBER)
        fields = [_field(GraphProto.INITIALIZER_FIELD_NUMBER, self._size(tensor)) for tensor in tensors]
        size = len(graph_before) + len(graph_after)
        size += sum(len(field) + self._size(tensor) for field, tensor in zip(fields, tensors, strict=True))
        if size + len(before) + len(after) > LARGEST:
            raise BundleError(
                f"{path.name} would have {size / 1e9:.1f} GB, and an ONNX file has {LARGEST / 1e9:.1f} at most: a "
                "model of this size can't be exported"
            )
        with path.open("wb") as stream:
            stream.write(before + _field(ModelProto.GRAPH_FIELD_NUMBER, size) + graph_before)
            for field, tensor in zip(fields, tensors, strict=True):
                stream.write(field)
                self._write_tensor(tensor, stream)
            stream.write(graph_after + after)

    def _size(self, header: TensorProto) -> int:
        if header.name not in self._weights:
            return int(header.ByteSize())
        nbytes = self._weights[header.name].nbytes
        return int(header.ByteSize()) + len(_field(TensorProto.RAW_DATA_FIELD_NUMBER, nbytes)) + nbytes

    def _write_tensor(self, header: TensorProto, stream: BinaryIO) -> None:
        if header.name not in self._weights:
            stream.write(header.SerializeToString())
            return
        before, after = _around(header, TensorProto.RAW_DATA_FIELD_NUMBER)
        weight = self._weights[header.name]
        stream.write(before + _field(TensorProto.RAW_DATA_FIELD_NUMBER, weight.nbytes))
        # ONNX has the little end first, as the machines have that this runs on.
        stream.write(np.ascontiguousarray(weight.numpy()).data)
        stream.write(after)


def _around(message: Message, number: int) -> tuple[bytes, bytes]:
    """The bytes of the fields below and above a field's number, in which order protobuf writes them."""
    halves = []
    for above in (False, True):
        half = type(message)()
        half.CopyFrom(message)
        for field in message.DESCRIPTOR.fields:
            if field.number == number or (field.number > number) is not above:
                half.ClearField(field.name)
        halves.append(half.SerializeToString())
    return halves[0], halves[1]


def _field(number: int, size: int) -> bytes:
    """What goes before ``size`` bytes of a field."""
    return _varint(number << 3 | _DELIMITED) + _varint(size)


def _varint(value: int) -> bytes:
    groups = []
    while True:
        value, low = value >> 7, value & 0x7F
        groups.append(low | (0x80 if value else 0))
        if not value:
            return bytes(groups)
