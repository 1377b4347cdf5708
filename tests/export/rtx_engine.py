"""Builds an engine with TensorRT for RTX, which needs no GPU, in a process of its own: it allows one logger a process.

python rtx_engine.py MODEL: prints the engine's size in bytes and the outputs' shapes as JSON.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import tensorrt_rtx_bindings as trt  # type: ignore[import-not-found]


def main(path: str) -> dict[str, Any]:
    logger = trt.Logger(trt.Logger.WARNING)
    builder = trt.Builder(logger)
    network = builder.create_network(0)
    parser = trt.OnnxParser(network, logger)
    if not parser.parse_from_file(path):
        raise SystemExit("\n".join(parser.get_error(i).desc() for i in range(parser.num_errors)))
    config = builder.create_builder_config()
    config.num_compute_capabilities = 1
    config.set_compute_capability(trt.ComputeCapability.SM86, 0)
    profile = builder.create_optimization_profile()
    for i in range(network.num_inputs):
        tensor = network.get_input(i)
        rest = tuple(tensor.shape)[1:]
        profile.set_shape(tensor.name, (1, *rest), (16, *rest), (300, *rest))
    config.add_optimization_profile(profile)
    engine = builder.build_serialized_network(network, config)
    outputs = [network.get_output(i) for i in range(network.num_outputs)]
    return {"bytes": engine.nbytes if engine else 0, "outputs": {o.name: list(o.shape) for o in outputs}}


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1])))
