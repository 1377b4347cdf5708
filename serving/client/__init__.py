"""The client of a framesift server; needs numpy and tritonclient alone."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .aio import AsyncClient
    from .results import Found, Hit, Indexed, Scores, SearchResult, VideoRecord
    from .sync import Client

__all__ = ["AsyncClient", "Client", "Found", "Hit", "Indexed", "Scores", "SearchResult", "VideoRecord"]

_MODULES = {"AsyncClient": ".aio", "Client": ".sync"}


def __getattr__(name: str) -> Any:
    # Loaded when first asked for: gRPC takes a good part of a second, too long for a command's --help.
    if name in __all__:
        return getattr(import_module(_MODULES.get(name, ".results"), __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
