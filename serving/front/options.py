"""Parameters of a request, as the options of the model that it calls."""

from __future__ import annotations

from typing import Any

from ...export.bundle.checks import check_filter
from ...export.bundle.errors import InvalidRequest
from ...export.bundle.ports import OPTIONS
from ..search.options import Options
from .public import Public
from .upstream import Tensor

# Of a request that asks for nothing beside, to a model that wants to be told.
NO_OPTIONS = Options().json()
# A stream's client may ask for a last, empty answer, which only models that answer more than once send.
_FINAL_RESPONSE = "triton_enable_empty_final_response"


def read_options(parameters: Any, public: Public) -> bytes:
    """The options that a ModelInferRequest's parameters stand for, as JSON; empty where there are none.

    Raises:
        InvalidRequest: a parameter that the model does not take, of another type, or beyond its limit.
    """
    given: dict[str, Any] = dict(public.given)
    for name in sorted(parameters.keys() - {_FINAL_RESPONSE}):
        if name not in public.takes:
            known = f"; {public.name} takes {', '.join(sorted(public.takes))}" if public.takes else ""
            raise InvalidRequest(f"a request takes no parameter {name[:60]!r}{known}")
        value = parameters[name]
        kind = value.WhichOneof("parameter_choice")
        given[name] = None if kind is None else getattr(value, kind)
    if "where" in given:
        # As an option an empty one is none, but whoever sends it has left something out.
        check_filter(given["where"])
    return Options(**given).json() if given else b""


def options_tensor(options: bytes, rows: int = 0) -> Tensor:
    """The tensor that holds options, once for each of a batch's rows, if it has a batch."""
    shape = (rows, len(options)) if rows else (len(options),)
    return Tensor(OPTIONS, "UINT8", shape, options * max(1, rows))
