"""framesift deploys trained text-to-video retrieval models on NVIDIA Triton Inference Server.

>>> from framesift import Client, errors
>>> with Client("127.0.0.1:8001") as client:
...     client.index("clip.mp4")
...     try:
...         hits = client.search("a dog catches a frisbee", top=3).hits
...     except errors.ServerUnavailable:
...         hits = ()
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import errors
    from .errors import FramesiftError
    from .export.bundle.segments import Cutting
    from .serving.client.aio import AsyncClient
    from .serving.client.connection import Credentials
    from .serving.client.results import (
        Edited,
        Hit,
        Indexed,
        LookupResult,
        Scores,
        SearchResult,
        Served,
        Shortlist,
        VideoFacts,
        VideoPage,
        VideoRecord,
    )
    from .serving.client.sync import Client

__version__ = "0.1.0"
__all__ = [
    "AsyncClient",
    "Client",
    "Credentials",
    "Cutting",
    "Edited",
    "FramesiftError",
    "Hit",
    "Indexed",
    "LookupResult",
    "Scores",
    "SearchResult",
    "Served",
    "Shortlist",
    "VideoFacts",
    "VideoPage",
    "VideoRecord",
    "__version__",
    "errors",
]

_HOMES = {
    "AsyncClient": ".serving.client.aio",
    "Client": ".serving.client.sync",
    "Credentials": ".serving.client.connection",
    "Cutting": ".export.bundle.segments",
    "FramesiftError": ".errors",
}


def __getattr__(name: str) -> Any:
    # Loaded when first asked for: gRPC takes a good part of a second, too long for a command's --help.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "errors":
        return import_module(".errors", __name__)
    return getattr(import_module(_HOMES.get(name, ".serving.client.results"), __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _warn_of_checkout() -> None:
    """Warn where a script beside a checkout, or a shell above it, takes the checkout for what is installed."""
    import os
    import sys

    here = os.path.dirname(os.path.abspath(__file__))
    above = os.path.dirname(here)
    # An interpreter looks first where its script lies, or where it was started.
    if not sys.path or os.path.abspath(sys.path[0]) != above or not os.path.exists(f"{here}/pyproject.toml"):
        return
    for other in sys.path[1:]:
        if os.path.exists(f"{other}/framesift/__init__.py") and not os.path.samefile(f"{other}/framesift", here):
            import warnings

            warnings.warn(
                f"framesift was imported from the checkout {here} and not from {other}, where it is installed, because "
                "the checkout lies under that name in the script's or the current folder: call its folder anything "
                "else",
                stacklevel=3,
            )
            return


_warn_of_checkout()
