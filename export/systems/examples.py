"""Every system as a small model with random weights, for tests and benchmarks, and weights as authors leave them."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from .card import Example, SystemCard
from .contract import System
from .registry import cards

# Frames of a video and token positions of a text.
FRAMES, MAX_TOKENS = 5, 20
# Of the captions of generated clips.
_COLOURS, _SHAPES = "red green blue yellow white purple", "circle square triangle cross"
SMALL_WORDS = tuple(f"a small large {_COLOURS} {_SHAPES} moves left right up down appears then".split())
_LENGTHS = {"frames": FRAMES, "max_tokens": MAX_TOKENS}


def examples() -> Mapping[str, tuple[SystemCard[Any], Example[Any]]]:
    """The examples of all systems, by the system's name and, where it has several, the example's."""
    return {f"{card.name} {example.name}".strip(): (card, example) for card in cards() for example in card.examples}


def options_of(card: SystemCard[Any], example: Example[Any]) -> dict[str, Any]:
    """The options of an example that are not the authors'."""
    declared = {*card.shown, *(option.name for option in card.options)}
    lengths = {name: length for name, length in _LENGTHS.items() if name in declared}
    return {**lengths, **example.options, **example.small}


def small_system(name: str) -> System:
    """The example of that name, always with the same random weights: no zero or identity is left."""
    card, example = examples()[name]
    torch.manual_seed(len(name))
    system = card.model(example.sizes, options_of(card, example))
    for key, parameter in system.named_parameters():
        if parameter.dim() < 3 and not any(norm in key.lower() for norm in ("ln_", "norm")):
            nn.init.normal_(parameter, std=0.1)
    for key, parameter in system.named_parameters():
        if key.endswith("logit_scale"):
            nn.init.constant_(parameter, 3.0)
    if card.vectors:
        with torch.no_grad():
            system.get_parameter(card.vectors)[0] = 0
    return system.eval()


def write_word_vectors(path: Path, vectors: NDArray[np.float32]) -> None:
    """Vectors [N, width] of the small vocabulary's words, and then of others, as word2vec writes them."""
    words = [*SMALL_WORDS, *(f"word{number}" for number in range(len(vectors)))][: len(vectors)]
    with path.open("wb") as stream:
        stream.write("{} {}\n".format(*vectors.shape).encode())
        for word, vector in zip(words, vectors, strict=True):
            stream.write(word.encode() + b" " + vector.astype("<f4").tobytes() + b"\n")


def write_weights(card: SystemCard[Any], system: System, folder: Path) -> Path:
    """A system's weights as its authors leave them: wrapped, under ``module.``, in half precision.

    Word vectors and networks of films lie in files of their own. Paddle's files hold bare arrays.
    """
    aside = tuple(filter(None, (card.vectors, card.networks)))
    whole = {key: value for key, value in system.state_dict().items() if not key.startswith(aside or ("\0",))}
    model = folder / ("model.pdparams" if card.paddles else "model.pth")
    if card.paddles:
        arrays = {name: tensor.numpy() for name, tensor in whole.items()}
        names = {name: f"param_{number}" for number, name in enumerate(arrays)}
        model.write_bytes(pickle.dumps({**arrays, "StructuredToParameterName@@": names}, protocol=4))
    else:
        state = {f"module.{key}": _halved(value) for key, value in whole.items()}
        torch.save({"epoch": 3, "state_dict": state, "optimizer": {"step": torch.tensor(7)}}, model)
    return model


def _halved(tensor: Tensor) -> Tensor:
    return tensor.half() if tensor.is_floating_point() else tensor
