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
from framesift.kernels.device.memory import SCORES_AT_ONCE, gallery_bytes, search_bytes
from framesift.kernels.topk_attention.certified import memory
from framesift.kernels.topk_attention.layout import HeadShape
from framesift.serving.repository.render import reference_manifest
from framesift.serving.search.on_gpu import scan_bytes
from framesift.serving.server.gpu import check_gpu, check_libraries

from ..toy_ports import toy_manifest

GIB = 1 << 30
H200 = [140 * GIB]


@pytest.fixture
def manifest() -> Manifest:
    pytest.importorskip("triton")
    return replace(reference_manifest(), options={"top_k": 4, "heads": 1})


def test_a_gallery_is_counted_by_its_shapes() -> None:
    shape = HeadShape(12, 512, 4)
    # 12,288 bytes of float16 and 1,080 of a table for each; the tables lie in blocks of 16 videos.
    assert gallery_bytes(17, (1, 12, 512), shape.rows, 2) == 17 * 12_288 + 32 * 1_080
    assert search_bytes(1000, 32) == 2 * 4 * 32_000
    assert search_bytes(10**9) == 2 * 4 * SCORES_AT_ONCE
    # 13 rows of steps, and 36 numbers and a table in blocks.
    assert memory.gallery_bytes(17, shape) == 17 * 6_656 + 32 * (4 * 36 + 1_080)
    assert memory.row_bytes(shape) == 7_880


def test_what_fits_is_served_and_what_does_not_is_refused_in_words(manifest: Manifest) -> None:
    assert check_gpu(manifest, 1_000_000, GIB, H200) == "encoders and searches on the GPU"
    assert check_gpu(manifest, 9_000_000, GIB, H200) == "encoders and searches on the GPU"
    with pytest.raises(ServerStartError) as refused:
        check_gpu(manifest, 1_000_000, GIB, [16 * GIB])
    told = str(refused.value)
    # 13.4 GB of records, 0.3 of scores, 1.1 for CUDA, and 3.2 for the encoders.
    assert "1,000,000 videos don't fit" in told
    assert "GPU 0 needs 17.9 GB for 1,000,000 of them, 3.2 of these for the encoders, and 17.2 GB are free" in told
    assert "--storage int8, which takes little more than half, a smaller gallery, or processors (no --device)" in told


def test_every_gpu_must_hold_the_encoders_and_its_share(manifest: Manifest) -> None:
    with pytest.raises(ServerStartError, match=r"the encoders take 3\.2 GB of every GPU, 2\.1 GB are free on one"):
        check_gpu(manifest, 10, GIB, [80 * GIB, 2 * GIB])
    assert check_gpu(manifest, 1_000_000, GIB, [12 * GIB, 12 * GIB]) == "encoders and searches on 2 GPUs"
    with pytest.raises(ServerStartError, match="GPU 1 needs 11.1 GB for 499,.* and 8.6 GB are free") as refused:
        check_gpu(manifest, 1_000_000, GIB, [12 * GIB, 8 * GIB])
    assert "GPU 0" not in str(refused.value)


def test_int8_takes_little_more_than_half(manifest: Manifest) -> None:
    small = stored(replace(manifest, options={**manifest.options, "biases": [0.0, 0.0, 0.0, 0.0]}), "int8")
    assert check_gpu(small, 1_000_000, GIB, [14 * GIB]) == "encoders and searches on the GPU"
    with pytest.raises(ServerStartError) as refused:
        check_gpu(small, 2_000_000, GIB, [14 * GIB])
    assert "--storage int8" not in str(refused.value)


def test_other_scorers_and_coarse_stages_stay_on_the_processor(manifest: Manifest) -> None:
    told = "encoders on the GPU, searches on the processor"
    assert check_gpu(replace(manifest, scorer="weighed_experts"), 10**9, GIB, [8 * GIB]) == told
    assert check_gpu(stored(manifest, "float16", coarse=True), 10**9, GIB, [8 * GIB]) == told


def test_records_of_plain_vectors_are_counted() -> None:
    pytest.importorskip("triton")
    plain = toy_manifest(12, 32, 512)
    # Frames of 512 numbers, 32 scores of each twice, and a GiB.
    assert scan_bytes(plain, 1000) == 1000 * (2 * 12 * 512 + 8 * 32) + GIB
    assert check_gpu(plain, 1_000_000, GIB, H200) == "encoders and searches on the GPU"
    assert check_gpu(plain, 1_000_000, GIB, H200 * 2) == "encoders on 2 GPUs, searches on the first"
    with pytest.raises(ServerStartError, match="GPU 0 needs 16.8 GB for 1,000,000 of them, .*15.0 GB are free"):
        check_gpu(plain, 1_000_000, GIB, [14 * GIB])


def test_without_a_gpu_it_is_told(manifest: Manifest) -> None:
    with pytest.raises(ServerStartError, match="nvidia-smi finds no GPU here"):
        check_gpu(manifest, 1, 1, [])
    assert parse_memory("143771\n80 000\n") == []
    assert parse_memory(" 143771\n 81559\n") == [143771 << 20, 81559 << 20]


def test_only_gpus_that_are_visible_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    smi = tmp_path / "nvidia-smi"
    # As NVIDIA's: all of them, or those that --id names.
    smi.write_text(
        '#!/bin/sh\ncase "$*" in *--id=1,3*) echo 200; echo 400;; *--id*) exit 6;; *) seq 100 100 400;; esac\n'
    )
    smi.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert free_memory() == [number << 20 for number in (100, 200, 300, 400)]
    for visible, wanted in (("1,3", [200, 400]), ("", []), ("7", [])):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        assert free_memory() == [number << 20 for number in wanted]


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
