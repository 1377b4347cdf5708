"""A model's inputs and outputs, as its configuration on the server has them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ...export.bundle.spec import DATA_TYPES, TensorSpec

_DTYPES = {server: name for name, server in DATA_TYPES.items()}


def configured(config: Mapping[str, Any], which: str) -> dict[str, TensorSpec]:
    """The inputs (``which`` is "input") or outputs ("output") of a configuration, by name, the batch in front.

    A port that the server reshapes on its way is left out: its dims are not those the model sees. So is one of a type
    that numpy lacks.
    """
    batch = (-1,) if config.get("max_batch_size", 0) > 0 else ()
    ports: Iterable[Mapping[str, Any]] = config.get(which, ())
    return {
        port["name"]: TensorSpec(port["name"], _DTYPES[port["data_type"]], (*batch, *map(int, port["dims"])))
        for port in ports
        if port["data_type"] in _DTYPES and "reshape" not in port
    }
