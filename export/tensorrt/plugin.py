"""Our own kernel in the scorer's engine, where TensorRT and the compiler that it needs are there."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from ..bundle.engines.flavours import Flavour
from ..bundle.manifest import Manifest
from ..bundle.scorers import scorer_of

# The first TensorRT that takes plugins compiled ahead of time.
_FIRST = (10, 9)


def registered(trt: Any, flavour: Flavour, manifest: Manifest) -> str:
    """Register the plugin of a bundle's scorer, see ``docs/tensorrt-plugin.md``; why not, in words, or nothing."""
    if scorer_of(manifest).search != "topk_attention":
        return f"there is no plugin for {manifest.scorer}"
    if not flavour.needs_gpu:
        return f"{flavour.title} takes no plugin"
    version = tuple(int(part) for part in str(trt.__version__).split(".")[:2])
    if version < _FIRST:
        return f"{flavour.title} {trt.__version__} is older than {'.'.join(map(str, _FIRST))}"
    if find_spec("triton") is None:
        return "its kernel is compiled by triton, which is not installed: pip install triton"
    from ...kernels.topk_attention import tensorrt_plugin  # noqa: F401 - to import it registers it

    return ""
