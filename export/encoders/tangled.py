"""ActBERT's encoder (Zhu and Yang, CVPR 2020): three streams and the layers that connect them, PaddleVideo's names."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...kernels.tangled_encoder.reference import Streams, TangledAttention, TangledOutput
from .post_ln import Layer, Output

# Regions, text and actions: the letters that the authors' names begin with.
STREAMS = ("v", "t", "a")


class InOutLinear(nn.Linear):
    """A linear map whose weight is [in, out], as Paddle keeps it."""

    def __init__(self, inside: int, outside: int) -> None:
        super().__init__(inside, outside)
        self.weight = nn.Parameter(self.weight.detach().T.contiguous())

    def forward(self, x: Tensor) -> Tensor:
        """[..., in] to [..., out]."""
        return F.linear(x, self.weight.T, self.bias)


def in_paddles_layout(module: nn.Module) -> None:
    """Replace every linear map in ``module`` by one whose weight is [in, out]."""
    for parent in list(module.modules()):
        for name, child in list(parent.named_children()):
            if type(child) is nn.Linear:
                parent.add_module(name, InOutLinear(child.in_features, child.out_features))


class FeatureEmbeddings(nn.Module):
    """LN of the sum of linear maps, one for each of ``inputs``: names to widths."""

    def __init__(self, width: int, inputs: dict[str, int]) -> None:
        super().__init__()
        self._names = tuple(inputs)
        for name, inside in inputs.items():
            self.add_module(name, nn.Linear(inside, width))
        self.LayerNorm = nn.LayerNorm(width, eps=1e-12)

    def forward(self, *features: Tensor) -> Tensor:
        """[B, N, in] of each input to [B, N, width]."""
        parts = [self.get_submodule(name)(x) for name, x in zip(self._names, features, strict=True)]
        return self.LayerNorm(torch.stack(parts).sum(0) if len(parts) > 1 else parts[0])


class Connection(nn.Module):
    """Three streams read one another, and each goes through an MLP of its own.

    Args:
        widths, insides: of regions, text and actions, and of their MLPs.
    """

    def __init__(self, widths: tuple[int, int, int], insides: tuple[int, int, int], width: int, heads: int) -> None:
        super().__init__()
        self.ent_attention = TangledAttention(widths, width, heads)
        self.ent_output = TangledOutput(widths, width)
        for letter, outside, inside in zip(STREAMS, widths, insides, strict=True):
            self.add_module(f"{letter}_intermediate", nn.ModuleDict({"dense": nn.Linear(outside, inside)}))
            self.add_module(f"{letter}_output", Output(inside, outside))

    def forward(self, streams: Streams, biases: Streams) -> Streams:
        """Streams to streams; see ``TangledAttention``."""
        mixed = self.ent_output(self.ent_attention(streams, biases), streams)
        regions, text, actions = (self._apart(letter, x) for letter, x in zip(STREAMS, mixed, strict=True))
        return regions, text, actions

    def _apart(self, letter: str, x: Tensor) -> Tensor:
        inner = F.gelu(self.get_submodule(f"{letter}_intermediate.dense")(x))
        result: Tensor = self.get_submodule(f"{letter}_output")(inner, x)
        return result


class TangledEncoder(nn.Module):
    """Layers of every stream, and connections.

    The last text layers follow one connection each. A region layer and an action layer stand beside the text layer that
    follows a connection; those that are left come after the last one.

    Args:
        layers: of regions, text and actions.
        heads: of regions, text and actions.
        connection: its width, its heads, and how many there are.
    """

    def __init__(
        self,
        widths: tuple[int, int, int],
        insides: tuple[int, int, int],
        layers: tuple[int, int, int],
        heads: tuple[int, int, int],
        connection: tuple[int, int, int],
    ) -> None:
        super().__init__()
        width, connection_heads, count = connection
        for name, each in zip(("v_layer", "layer", "a_layer"), range(3), strict=True):
            stack = [Layer(widths[each], heads=heads[each], inside=insides[each]) for _ in range(layers[each])]
            self.add_module(name, nn.ModuleList(stack))
        connections = [Connection(widths, insides, width, connection_heads) for _ in range(count)]
        self.c_layer = nn.ModuleList(connections)
        self._alone = layers[1] - count

    def text(self, words: Tensor, bias: Tensor) -> Tensor:
        """Embedded words [B, W, D] and their bias [B, 1, 1, W] through the layers that read text alone."""
        return _through(self._stack("layer")[: self._alone], words, bias)

    def forward(self, streams: Streams, biases: Streams) -> Streams:
        """Embedded regions, what ``text`` made of words, and embedded actions of pairs to the last layers' output."""
        stacks = (self._stack("v_layer"), self._stack("layer")[self._alone :], self._stack("a_layer"))
        last = len(self.c_layer) - 1
        for place, connection in enumerate(self.c_layer):
            if place:
                streams = _each(stacks, slice(place - 1, place), streams, biases)
            streams = connection(streams, biases)
        return _each(stacks, slice(last, None), streams, biases)

    def _stack(self, name: str) -> list[nn.Module]:
        stack = self.get_submodule(name)
        assert isinstance(stack, nn.ModuleList)
        return list(stack)


def _each(stacks: Sequence[Sequence[nn.Module]], part: slice, streams: Streams, biases: Streams) -> Streams:
    one, two, three = (_through(stack[part], x, bias) for stack, x, bias in zip(stacks, streams, biases, strict=True))
    return one, two, three


def _through(layers: Sequence[nn.Module], x: Tensor, bias: Tensor) -> Tensor:
    for layer in layers:
        x = layer(x, bias)
    return x
