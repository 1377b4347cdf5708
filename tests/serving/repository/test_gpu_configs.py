"""Configurations for GPUs: where models are placed, providers with their options, profiles, and warm-up over ranges."""

from __future__ import annotations

from dataclasses import replace
from unittest import mock

import onnxruntime as ort
import pytest
from tritonclient.grpc import model_config_pb2 as pb

from framesift.export.bundle.errors import BundleError
from framesift.export.bundle.manifest import Manifest
from framesift.export.bundle.models import GALLERY_SEARCH, RECORDED
from framesift.export.bundle.ports import MASK, SCORER, TEXT_ENCODER, VIDEO_ENCODER
from framesift.export.bundle.spec import TensorSpec
from framesift.serving.backends.onnxruntime import OnnxRuntime
from framesift.serving.repository import config as config_module
from framesift.serving.repository.config import CUDA_OPTIONS, render
from framesift.serving.repository.plan import plan
from framesift.serving.repository.render import files, reference_manifest
from framesift.serving.repository.served import Model, Served

GPU, CPU = pb.ModelInstanceGroup.KIND_GPU, pb.ModelInstanceGroup.KIND_CPU


def models(manifest: Manifest | None = None) -> dict[str, Served]:
    return {each.name: each for each in plan(manifest or reference_manifest())}


def accelerators(config: pb.ModelConfig) -> dict[str, dict[str, str]]:
    found = config.optimization.execution_accelerators.gpu_execution_accelerator
    return {each.name: dict(each.parameters) for each in found}


@pytest.mark.parametrize("name", [VIDEO_ENCODER, TEXT_ENCODER])
def test_encoders_are_on_every_gpu_with_cuda_in_float32(name: str) -> None:
    served = models()[name]
    for config in (render(served, "cuda"), render(served, "embedded", cuda=True)):
        (group,) = config.instance_group
        # The server makes an instance on each GPU that it sees where none is named.
        assert (group.kind, group.count, list(group.gpus)) == (GPU, 1, [])
        assert accelerators(config) == {"cuda": CUDA_OPTIONS}
        assert CUDA_OPTIONS["use_tf32"] == "0"


def test_one_process_searches_on_all_gpus_and_the_rest_stays() -> None:
    for name, served in models().items():
        config = render(served, "embedded", cuda=True)
        if name == GALLERY_SEARCH:
            for each in (config, *(render(served, variant) for variant in ("cuda", "accelerated", "tensorrt"))):
                (group,) = each.instance_group
                assert (group.kind, group.count, list(group.gpus)) == (GPU, 1, [0])
            assert render(served).instance_group[0].kind == CPU
            assert set(files(served)) >= {f"configs/{way}.pbtxt" for way in ("cuda", "accelerated", "tensorrt")}
            assert set(files(served, sharded=True)) == {"config.pbtxt", "1/model.py"}
        elif name not in (VIDEO_ENCODER, TEXT_ENCODER):
            assert config == render(served, "embedded")
        assert not accelerators(render(served, "default"))


def test_batches_are_recorded_where_a_measurement_said_so() -> None:
    video = models()[VIDEO_ENCODER]
    assert RECORDED not in render(video, "embedded", cuda=True).parameters
    with mock.patch.object(config_module, "RECORDED_BATCHES", {VIDEO_ENCODER: (1, 8)}):
        assert render(video, "embedded", cuda=True).parameters[RECORDED].string_value == "1,8"
        # NVIDIA's own backend knows no such parameter.
        for other in (
            render(video, "cuda"),
            render(video, "embedded"),
            render(models()[TEXT_ENCODER], "embedded", cuda=True),
        ):
            assert RECORDED not in other.parameters


def test_tensorrt_has_profiles_for_every_dynamic_shape_and_keeps_engines() -> None:
    text, video = (accelerators(render(models()[name], "accelerated")) for name in (TEXT_ENCODER, VIDEO_ENCODER))
    assert list(text) == list(video) == ["tensorrt", "cuda"]
    assert {text["tensorrt"][f"trt_profile_{end}_shapes"] for end in ("min", "opt", "max")} == {
        "token_ids:1x1",
        "token_ids:1x16",
        "token_ids:64x77",
    }
    assert video["tensorrt"]["trt_profile_min_shapes"] == "frames:1x12x3x224x224"
    assert video["tensorrt"]["trt_profile_max_shapes"] == "frames:8x12x3x224x224"
    for found in (text, video):
        assert found["tensorrt"]["trt_engine_cache_path"] == found["tensorrt"]["trt_timing_cache_path"] == "/engines"


def test_what_is_served_lies_within_the_profiles() -> None:
    """The batches of the configuration, and every length that the front door sends."""
    manifest = reference_manifest()
    for name in (TEXT_ENCODER, VIDEO_ENCODER):
        served = models(manifest)[name]
        assert isinstance(served, Model)
        (span,) = served.ranges.values()
        assert (span.min[0], span.max[0]) == (1, served.max_batch)
    lengths = (*manifest.tokenizer.buckets, manifest.tokenizer.context_length)
    served = models(manifest)[TEXT_ENCODER]
    assert isinstance(served, Model)
    (span,) = served.ranges.values()
    assert span.min[1] <= min(lengths)
    assert span.max[1] == max(lengths)


def test_warm_up_goes_over_the_ranges_before_the_first_request() -> None:
    config = render(models()[TEXT_ENCODER], "accelerated")
    asked = [(sample.batch_size, list(sample.inputs["token_ids"].dims)) for sample in config.model_warmup]
    assert asked == [(1, [16]), (1, [77]), (64, [16]), (64, [77])]
    assert len({sample.name for sample in config.model_warmup}) == 4
    video = render(models()[VIDEO_ENCODER], "cuda")
    assert [sample.batch_size for sample in video.model_warmup] == [1, 8]
    assert [sample.batch_size for sample in render(models()[VIDEO_ENCODER]).model_warmup] == [1]


def test_the_scorer_takes_any_shape_and_has_no_profile() -> None:
    served = models()[SCORER]
    assert not accelerators(render(served, "accelerated"))
    assert set(files(served)) == {"config.pbtxt"}
    assert set(files(models()[TEXT_ENCODER])) >= {"configs/cuda.pbtxt", "configs/accelerated.pbtxt"}


def test_the_scorers_engine_is_served_with_all_its_profiles() -> None:
    config = render(models()[SCORER], "tensorrt")
    assert list(config.instance_group[0].profile) == [str(number) for number in range(7)]
    assert not render(models()[TEXT_ENCODER], "tensorrt").instance_group[0].profile


def test_an_input_that_comes_from_a_file_is_warmed_up_by_it_alone() -> None:
    manifest = reference_manifest()
    ports = manifest.graphs[VIDEO_ENCODER]
    masked = replace(ports, inputs=(*ports.inputs, TensorSpec(MASK, "float32", ("batch", 12))))
    served = models(replace(manifest, graphs={**manifest.graphs, VIDEO_ENCODER: masked}))[VIDEO_ENCODER]
    config = render(served, "cuda")
    (sample,) = config.model_warmup
    assert sample.inputs[MASK].input_data_file == MASK


@pytest.mark.skipif("CUDAExecutionProvider" in ort.get_available_providers(), reason="this ONNX Runtime has CUDA")
def test_a_backend_that_is_to_run_on_a_gpu_runs_nowhere_else() -> None:
    backend = OnnxRuntime()
    accelerator = {"name": "cuda", "parameters": CUDA_OPTIONS}
    placed = {"optimization": {"execution_accelerators": {"gpu_execution_accelerator": [accelerator]}}}
    assert backend._providers({}) == ["CPUExecutionProvider"]
    with pytest.raises(BundleError, match="the server has no GPU for it"):
        backend._providers(placed)
    backend.gpu = 1
    assert backend._providers({}) == ["CPUExecutionProvider"]
    with pytest.raises(BundleError, match="this ONNX Runtime has no CUDA"):
        backend._providers(placed)
