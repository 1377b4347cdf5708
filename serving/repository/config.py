"""The plan rendered to config.pbtxt through Triton server's own protobuf."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import Literal

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as pb

from ...export.bundle.models import GALLERY_SEARCH, RECORDED
from ...export.bundle.ports import TEXT_ENCODER, VIDEO_ENCODER
from ...export.bundle.spec import DATA_TYPES, TensorSpec
from .served import Batching, Ensemble, Model, Served, Warmup

Variant = Literal["default", "embedded", "cuda", "accelerated", "tensorrt"]
# Where NVIDIA's container keeps engines that ONNX Runtime built, so that the next start finds them.
ENGINE_CACHE = "/engines"
# The provider's name among the accelerators of a configuration, and its options: float32 is float32, a convolution's
# algorithm is chosen without timing all of them for every shape, and no more memory is taken than is asked for.
CUDA = "cuda"
CUDA_OPTIONS = {
    "use_tf32": "0",
    "cudnn_conv_algo_search": "HEURISTIC",
    "arena_extend_strategy": "kSameAsRequested",
}
_ENCODERS = (VIDEO_ENCODER, TEXT_ENCODER)
# Of each encoder the sizes of batches whose launches the embedded server records as CUDA graphs; none: inputs and
# outputs are bound to the GPU's memory, and nothing is recorded. `framesift bench gpu encoding` prints this line.
RECORDED_BATCHES: Mapping[str, tuple[int, ...]] = {}
# What may be placed on a GPU.
PLACED = (*_ENCODERS, GALLERY_SEARCH)


def render(served: Served, variant: Variant = "default", *, cuda: bool = False) -> pb.ModelConfig:
    """The configuration of one model or ensemble.

    Args:
        variant: how ONNX graphs run. ``default``: ONNX Runtime, on a GPU with its CUDA provider. ``embedded``: with
            the backend of this package, which takes inputs of several shapes in one batch. ``cuda``: encoders on every
            GPU, and nowhere else, with ONNX Runtime's CUDA provider. ``accelerated``: so too with its TensorRT
            provider, which builds an engine for all shapes at the first load and keeps it in ``ENGINE_CACHE``.
            ``tensorrt``: the server's TensorRT backend with an engine, ``model.plan``. With the last three the
            gallery is searched on all GPUs.
        cuda: for ``embedded``: encoders and the gallery are placed as with ``cuda``.
    """
    config = pb.ModelConfig(name=served.name, max_batch_size=served.max_batch)
    ragged = isinstance(served, Model) and _ragged(served, variant)
    for port in served.inputs:
        config.input.add(
            name=port.name,
            data_type=_data_type(port),
            dims=port.shape,
            allow_ragged_batch=ragged and -1 in port.shape,
            optional=isinstance(served, Model) and port.name in served.optional,
        )
    for port in served.outputs:
        config.output.add(name=port.name, data_type=_data_type(port), dims=port.shape)
    if isinstance(served, Ensemble):
        config.platform = "ensemble"
        # What no later step reads is not asked for.
        used = {port.name for port in served.outputs}
        used |= {member.called(port.name) for member in served.steps for port in member.inputs}
        there = {port.name for port in served.inputs}
        for member in served.steps:
            step = config.ensemble_scheduling.step.add(model_name=member.name, model_version=-1)
            # What may be lacking is passed on where there is such a tensor.
            for port in (p for p in member.inputs if member.called(p.name) in there or p.name not in member.optional):
                step.input_map[port.name] = member.called(port.name)
            for port in (p for p in member.outputs if member.called(p.name) in used):
                if member.called(member.answers.get(port.name, port.name)) in there or port.name not in member.answers:
                    step.output_map[port.name] = member.called(port.name)
            there |= set(step.output_map.values())
        return config
    # An ONNX model gets no kind: on a machine with a GPU the server puts it there, elsewhere on the CPU.
    group = config.instance_group.add(count=served.instances)
    placed = cuda or variant in ("cuda", "accelerated")
    if served.body is None:
        config.backend, config.default_model_filename = "onnxruntime", "model.onnx"
        if placed and served.kind in _ENCODERS:
            # Without numbers of GPUs it stands for all of them.
            group.kind = pb.ModelInstanceGroup.KIND_GPU
            _accelerate(config, served, tensorrt=variant == "accelerated" and bool(served.ranges))
            # Films of any length have shapes of any number.
            if variant == "embedded" and served.ranges and (sizes := RECORDED_BATCHES.get(served.kind)):
                config.parameters[RECORDED].string_value = ",".join(map(str, sizes))
        elif variant == "tensorrt":
            config.backend, config.platform, config.default_model_filename = "tensorrt", "tensorrt_plan", "model.plan"
            if served.profiles > 1:
                group.profile.extend(map(str, range(served.profiles)))
    else:
        config.backend, group.kind = "python", pb.ModelInstanceGroup.KIND_CPU
        if (placed or variant == "tensorrt") and served.kind == GALLERY_SEARCH:
            # One instance, which divides its gallery among all GPUs that it sees.
            group.kind = pb.ModelInstanceGroup.KIND_GPU
            group.gpus.append(0)
    if config.backend != "tensorrt":
        for key, value in served.parameters.items():
            config.parameters[key].string_value = value
    if served.batching is not None:
        _batching(config, served.batching)
    if served.warmup is not None:
        _warmup(config, served, served.warmup)
        if placed and served.ranges and not served.warmup.files:
            _warm_ranges(config, served)
    return config


def to_text(config: pb.ModelConfig) -> str:
    """A configuration as the text of config.pbtxt."""
    return str(text_format.MessageToString(config))


def parse(text: str) -> pb.ModelConfig:
    """Read config.pbtxt."""
    return text_format.Parse(text, pb.ModelConfig())


def _data_type(port: TensorSpec) -> int:
    return int(pb.DataType.Value(DATA_TYPES[port.dtype]))


def _ragged(model: Model, variant: Variant) -> bool:
    """Whether one batch may hold inputs of several shapes."""
    if model.batching is None:
        return False
    return model.batching.ragged or (variant == "embedded" and model.body is None)


def _accelerate(config: pb.ModelConfig, model: Model, *, tensorrt: bool) -> None:
    accelerators = config.optimization.execution_accelerators.gpu_execution_accelerator
    if tensorrt:
        shapes = {
            f"trt_profile_{end}_shapes": ",".join(
                f"{name}:{'x'.join(map(str, getattr(span, end)))}" for name, span in model.ranges.items()
            )
            for end in ("min", "opt", "max")
        }
        accelerators.add(name="tensorrt").parameters.update(
            {
                "precision_mode": "FP32",
                "trt_engine_cache_enable": "true",
                "trt_engine_cache_path": ENGINE_CACHE,
                "trt_timing_cache_enable": "true",
                "trt_timing_cache_path": ENGINE_CACHE,
                **shapes,
            }
        )
    # What TensorRT has no layer for runs with CUDA.
    accelerators.add(name=CUDA).parameters.update(CUDA_OPTIONS)


def _batching(config: pb.ModelConfig, batching: Batching) -> None:
    # No queue delay: a lone request would wait all of it, and under load it gains nothing.
    config.dynamic_batching.SetInParent()
    if batching.max_queue is None and batching.timeout_s is None:
        return
    policy = config.dynamic_batching.default_queue_policy
    policy.timeout_action = pb.ModelQueuePolicy.REJECT
    policy.default_timeout_microseconds = round((batching.timeout_s or 0) * 1e6)
    policy.allow_timeout_override = True
    policy.max_queue_size = batching.max_queue or 0


def _warmup(config: pb.ModelConfig, model: Model, warmup: Warmup) -> None:
    sizes = [[d if isinstance(d, int) else warmup.sizes[d] for d in port.dims] for port in model.inputs]
    _request(config, model, "first request", min(1, model.max_batch), sizes, warmup.files)


def _warm_ranges(config: pb.ModelConfig, model: Model) -> None:
    """Requests of usual and largest shapes, one at a time and in full batches: what a GPU compiles, it has compiled."""
    del config.model_warmup[:]
    spans = [model.ranges[port.name] for port in model.inputs]
    usual, largest = ([getattr(span, end)[1:] for span in spans] for end in ("opt", "max"))
    for batch in (1, model.max_batch):
        for shapes in (usual, *([largest] if largest != usual else [])):
            told = " ".join("x".join(map(str, shape)) for shape in shapes)
            _request(config, model, f"{batch} of {told}", batch, shapes, ())


def _request(
    config: pb.ModelConfig,
    model: Model,
    name: str,
    batch: int,
    shapes: Sequence[Sequence[int]],
    files: Container[str],
) -> None:
    """One request that is run at load; ``files`` holds the names of inputs that come from files."""
    sample = config.model_warmup.add(name=name, batch_size=batch, count=1)
    for port, shape in zip(model.inputs, shapes, strict=True):
        entry = sample.inputs[port.name]
        entry.data_type = _data_type(port)
        entry.dims.extend(shape)
        if port.name in files:
            entry.input_data_file = port.name
        elif port.dtype.startswith("float"):
            entry.random_data = True
        else:
            entry.zero_data = True
