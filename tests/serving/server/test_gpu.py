"""What a GPU is to hold is counted before a server starts. Nothing here needs a GPU, and nothing here ran on one."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import onnxruntime as ort
import pytest
from click.testing import CliRunner

from framesift.__main__ import main
from framesift.export.bundle.engines.device import free_memory, parse_memory
from framesift.export.bundle.errors import ServerStartError
from framesift.export.bundle.manifest import Manifest
from framesift.export.bundle.storages import stored
from framesift.kernels.topk_attention.device_memory import SCORES_AT_ONCE, gallery_bytes, search_bytes
from framesift.serving.repository.render import reference_manifest
from framesift.serving.server.gpu import check_gpu, check_libraries, record_shape

GIB = 1 << 30
H200 = [140 * GIB]


@pytest.fixture
def manifest() -> Manifest:
    pytest.importorskip("triton")
    return replace(reference_manifest(), options={"top_k": 4, "heads": 1})


def test_a_gallery_is_counted_by_its_shapes(manifest: Manifest) -> None:
    shape, rows = record_shape(manifest)
    assert (shape, rows) == ((1, 12, 512), 270)
    # 12,288 bytes of float16 and 1,080 of a table for each; the tables lie in blocks of 16 videos.
    assert gallery_bytes(17, shape, rows, 2) == 17 * 12_288 + 32 * 1_080
    assert search_bytes(1000, 32) == 2 * 4 * 32_000
    assert search_bytes(10**9) == 2 * 4 * SCORES_AT_ONCE


def test_what_fits_is_served_and_what_does_not_is_refused_in_words(manifest: Manifest) -> None:
    assert check_gpu(manifest, 1_000_000, GIB, H200) == "encoders and searches on the GPU"
    assert check_gpu(manifest, 9_000_000, GIB, H200) == "encoders and searches on the GPU"
    with pytest.raises(ServerStartError) as refused:
        check_gpu(manifest, 1_000_000, GIB, [16 * GIB])
    told = str(refused.value)
    # 13.4 GB of records, 0.3 of scores, and 1.1 for CUDA.
    assert "1,000,000 videos and their searches take 14.7 GB of the GPU, 14.0 GB are free" in told
    assert "or processors (no --device)" in told


def test_the_smallest_gpu_must_hold_the_encoders_and_the_first_the_gallery(manifest: Manifest) -> None:
    with pytest.raises(ServerStartError, match=r"the encoders take 3\.2 GB of every GPU, 2\.1 GB are free on one"):
        check_gpu(manifest, 10, GIB, [80 * GIB, 2 * GIB])
    assert check_gpu(manifest, 1_000_000, GIB, [80 * GIB, 8 * GIB])
    with pytest.raises(ServerStartError, match="doesn't fit on the first GPU"):
        check_gpu(manifest, 1_000_000, GIB, [8 * GIB, 80 * GIB])


def test_other_scorers_and_proofs_stay_on_the_processor(manifest: Manifest) -> None:
    told = "encoders on the GPU, searches on the processor"
    assert check_gpu(replace(manifest, scorer="dot"), 10**9, GIB, [8 * GIB]) == told
    assert check_gpu(stored(manifest, "float16", coarse=True), 10**9, GIB, [8 * GIB]) == told


def test_without_a_gpu_it_is_told(manifest: Manifest) -> None:
    with pytest.raises(ServerStartError, match="nvidia-smi finds no GPU here"):
        check_gpu(manifest, 1, 1, [])
    assert parse_memory("143771\n80 000\n") == []
    assert parse_memory(" 143771\n 81559\n") == [143771 << 20, 81559 << 20]


@pytest.mark.skipif(bool(shutil.which("nvidia-smi")), reason="there may be a GPU")
def test_the_command_refuses_before_anything_is_read(tmp_path: Path) -> None:
    assert free_memory() == []
    with pytest.raises(ServerStartError, match="nvidia-smi finds no GPU here"):
        check_libraries()
    done = CliRunner().invoke(
        main, ["serve", str(tmp_path / "none"), "--gallery", str(tmp_path / "g"), "--device", "tpu"]
    )
    assert done.exit_code == 2
    assert "'tpu' is not one of 'cpu', 'cuda'" in done.output


@pytest.mark.skipif("CUDAExecutionProvider" in ort.get_available_providers(), reason="this ONNX Runtime has CUDA")
def test_an_onnxruntime_for_processors_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    smi = tmp_path / "nvidia-smi"
    smi.write_text("#!/bin/sh\necho 143771\n")
    smi.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with pytest.raises(ServerStartError, match=r"has no CUDA: pip uninstall onnxruntime, then pip install"):
        check_libraries()
