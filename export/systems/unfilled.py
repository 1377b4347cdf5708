"""Modules whose weights are about to be replaced: no time to draw random ones, and no memory for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

# In place, on their first argument.
_DRAWS = {
    nn.init.kaiming_uniform_,
    nn.init.normal_,
    nn.init.uniform_,
    torch.Tensor.normal_,
    torch.Tensor.uniform_,
}


class Unfilled(TorchFunctionMode):
    """While it is active nothing is drawn: tensors that would be random hold whatever their memory does.

    Memory that nobody has written to takes no room, so a module made so costs nothing until its weights are replaced.
    Zeros, ones and computed constants are what they always are. torch's meta device would do too, but constants have
    no values there, and its arithmetic loads torch's compiler.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Leave draws out; all else is called as it is."""
        if func in _DRAWS:
            return args[0] if args else (kwargs or {})["tensor"]
        return (torch.empty if func is torch.randn else func)(*args, **(kwargs or {}))
