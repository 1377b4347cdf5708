"""What the public models are, as KServe v2 tells it: in JSON's form, which both HTTP and gRPC are made from."""

from __future__ import annotations

from typing import Any

from .public import VERSION, Port, Public

PLATFORM = "framesift"
_EXTENSIONS = ["binary_tensor_data", "model_configuration", "parameters", "statistics"]
# In a configuration the type of a tensor has this in front.
_TYPE = "TYPE_"


def server_metadata(version: str) -> dict[str, Any]:
    """What there is to know of framesift's ``version``."""
    return {"name": PLATFORM, "version": version, "extensions": _EXTENSIONS}


def metadata(public: Public) -> dict[str, Any]:
    """A model's inputs and outputs."""
    return {
        "name": public.name,
        "versions": [VERSION],
        "platform": PLATFORM,
        "inputs": [_tensor(name, port) for name, port in public.inputs.items()],
        "outputs": [_tensor(name, port) for name, port in public.outputs.items() if not port.optional],
    }


def config(public: Public, *, full: bool = True) -> dict[str, Any]:
    """A model's configuration. Its steps are left out: nobody may call them.

    Args:
        full: with its parameters, for those who may call it.
    """
    batch = 1 if public.max_batch else 0
    return {
        "name": public.name,
        "backend": PLATFORM,
        "max_batch_size": public.max_batch,
        "input": [
            _configured(name, port, batch) | ({"optional": True} if port.optional else {})
            for name, port in public.inputs.items()
        ],
        "output": [_configured(name, port, batch) for name, port in public.outputs.items() if not port.optional],
        "parameters": {key: {"string_value": value} for key, value in public.parameters.items() if full},
    }


def _tensor(name: str, port: Port) -> dict[str, Any]:
    return {"name": name, "datatype": port.datatype, "shape": port.shape}


def _configured(name: str, port: Port, batch: int) -> dict[str, Any]:
    return {"name": name, "data_type": _TYPE + port.datatype, "dims": port.shape[batch:]}
