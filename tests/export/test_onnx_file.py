"""ONNX files that are written straight from a model's tensors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from torch import Tensor, nn

from framesift.export import onnx_file
from framesift.export.bundle.errors import BundleError
from framesift.export.onnx_file import OnnxFile

from ..exporting import read_library_once


class Small(nn.Module):
    """Large and small weights, one of whole numbers, and one that is folded into another layout."""

    def __init__(self) -> None:
        super().__init__()
        self.wide = nn.Linear(48, 64)
        self.narrow = nn.Linear(64, 3)
        self.register_buffer("table", torch.arange(400).view(20, 20))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.narrow(self.wide(x).relu()), self.table + x.long().sum()


@pytest.fixture(scope="module")
def program() -> Any:
    read_library_once()
    torch.manual_seed(1)
    return torch.onnx.export(Small().eval(), (torch.randn(2, 48),), dynamo=True, verbose=False)


def test_the_file_is_byte_for_byte_what_onnx_saves(program: Any, tmp_path: Path) -> None:
    onnx.save(program.model_proto, str(tmp_path / "saved.onnx"))
    OnnxFile(program.model).write(tmp_path / "written.onnx")
    assert (tmp_path / "written.onnx").read_bytes() == (tmp_path / "saved.onnx").read_bytes()
    assert (tmp_path / "written.onnx").stat().st_size > 4 * 64 * 48


def test_an_outline_is_valid_without_its_weights(program: Any) -> None:
    outline = OnnxFile(program.model).outline()
    onnx.checker.check_model(outline)
    # x, the wide layer's weight and the table.
    assert len(outline.graph.input) == 3
    assert outline.ByteSize() < 4 * 64 * 48
    del outline.graph.node[0].output[:]
    with pytest.raises(onnx.checker.ValidationError):
        onnx.checker.check_model(outline)


def test_more_than_a_file_can_have_is_refused(program: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_file, "LARGEST", 10_000)
    with pytest.raises(BundleError, match="at most"):
        OnnxFile(program.model).write(tmp_path / "large.onnx")
    assert not (tmp_path / "large.onnx").exists()
