"""What the public models are, as KServe v2 tells it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from google.protobuf import json_format
from tritonclient.grpc import model_config_pb2 as config_pb
from tritonclient.grpc import service_pb2 as pb

from .public import VERSION, Port, Public
from .upstream import Upstream

PLATFORM = "framesift"
_EXTENSIONS = ("model_configuration", "parameters", "statistics")
# In a configuration the type of a tensor has this in front.
_TYPE = "TYPE_"


def server_metadata(version: str) -> Any:
    """The ServerMetadataResponse of framesift's ``version``."""
    return pb.ServerMetadataResponse(name=PLATFORM, version=version, extensions=_EXTENSIONS)


def metadata(public: Public) -> Any:
    """A model's ModelMetadataResponse."""
    answer = pb.ModelMetadataResponse(name=public.name, versions=[VERSION], platform=PLATFORM)
    for told, found in ((answer.inputs, public.inputs), (answer.outputs, public.outputs)):
        for name, port in found.items():
            told.add(name=name, datatype=port.datatype, shape=port.shape)
    return answer


def config(public: Public) -> Any:
    """A model's ModelConfigResponse. Its steps are left out: nobody may call them."""
    answer = config_pb.ModelConfig(name=public.name, backend=PLATFORM, max_batch_size=public.max_batch)
    batch = 1 if public.max_batch else 0
    for told, found in ((answer.input, public.inputs), (answer.output, public.outputs)):
        for name, port in found.items():
            told.add(name=name, data_type=_data_type(port), dims=port.shape[batch:])
    for key, value in public.parameters.items():
        answer.parameters[key].string_value = value
    return pb.ModelConfigResponse(config=answer)


async def statistics(public: Public | None, publics: Iterable[Public], upstream: Upstream) -> Any:
    """The ModelStatisticsResponse of one model or of all, steps too: Triton server's, under their public names.

    Raises:
        Restarting: it is not there at present.
    """
    names = {each.upstream: each.name for each in publics}
    found = await upstream.get(f"/v2/models{'' if public is None else f'/{public.upstream}'}/stats")
    answer = pb.ModelStatisticsResponse()
    for row in found["model_stats"]:
        stats = answer.model_stats.add()
        json_format.ParseDict(row, stats, ignore_unknown_fields=True)
        stats.name = names.get(stats.name, stats.name)
    return answer


def _data_type(port: Port) -> Any:
    return config_pb.DataType.Value(_TYPE + port.datatype)
