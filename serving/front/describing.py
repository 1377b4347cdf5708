"""What the public models are, as KServe v2 tells it: in JSON's form, which both HTTP and gRPC are made from."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .public import VERSION, Port, Public
from .upstream import Upstream

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


async def statistics(public: Public | None, publics: Iterable[Public], upstream: Upstream) -> dict[str, Any]:
    """The statistics of one model or of all, steps too: Triton server's, under their public names.

    Raises:
        Restarting: it is not there at present.
    """
    all_ = [public] if public is not None else list(publics)
    names = {each.upstream: each.name for each in all_ if not _shared(each, all_)}
    found = await upstream.get(f"/v2/models{'' if public is None else f'/{public.upstream}'}/stats")
    return {"model_stats": [{**row, "name": names.get(row["name"], row["name"])} for row in found["model_stats"]]}


def _shared(public: Public, publics: Iterable[Public]) -> bool:
    """Whether others are answered by the same model, or by it among others."""
    return any(public.upstream in (each.upstream, *each.steps) for each in publics if each.name != public.name)


def _tensor(name: str, port: Port) -> dict[str, Any]:
    return {"name": name, "datatype": port.datatype, "shape": port.shape}


def _configured(name: str, port: Port, batch: int) -> dict[str, Any]:
    return {"name": name, "data_type": _TYPE + port.datatype, "dims": port.shape[batch:]}
