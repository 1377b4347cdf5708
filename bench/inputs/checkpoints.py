"""Checkpoints of the size that authors published with, with random weights: what a model takes, before it is there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ...export.bundle.errors import InvalidInput
from ...export.bundle.text.vocab_file import read_vocab, uncased_vocab, write_vocab
from ...export.encoders.film_networks import RESNET_152, RESNEXT_101
from ...export.systems.card import SystemCard
from ...export.systems.contract import System
from ...export.systems.examples import examples, write_weights, write_word_vectors
from ...export.systems.howto100m_film import FilmSizes

# Of a vocabulary's pieces, those that ``write_vocab`` adds.
_SPECIAL = 4


def write_published(name: str, folder: Path, *, films: bool = False, sizes: Any = None) -> list[str]:
    """Write the system of an example's name with random weights, as its authors leave a file, and what it needs beside.

    Args:
        name: as ``examples`` has it: a system, and its variant's name where it has several.
        films: with networks for films, where the system has room for them.
        sizes: where they are not the authors'.

    Returns:
        What ``framesift export`` has to be given: the file, and options.

    Raises:
        InvalidInput: no such name, or a system that reads no films by networks of its own.
    """
    if name not in examples():
        raise InvalidInput(f"there is no model {name!r}: there are {', '.join(examples())}")
    card, example = examples()[name]
    if films and not card.networks:
        raise InvalidInput(f"{card.name} has no networks that make features of a film: leave --films out")
    sizes = card.sizes if sizes is None else sizes
    if films:
        sizes = replace(sizes, film=FilmSizes(RESNET_152, RESNEXT_101))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        system = card.model(sizes, example.options)
    folder.mkdir(parents=True, exist_ok=True)
    # Weights don't show all options.
    told = {option.name for option in card.options} - card.implied.keys()
    given = [f"{name}={json.dumps(value)}" for name, value in example.options.items() if name in told]
    return [
        str(write_weights(card, system, folder)),
        *("--system", card.name),
        *(part for text in given for part in ("--set", text)),
        *_beside(card, system, folder),
    ]


def _beside(card: SystemCard[Any], system: System, folder: Path) -> Iterator[str]:
    """Word vectors, networks of films, or a vocabulary where the one that comes with framesift has another size."""
    if card.vectors:
        path = folder / "word_vectors.bin"
        write_word_vectors(path, system.get_parameter(card.vectors).detach()[1:].numpy())
        yield from ("--vocab", str(path))
    elif card.preprocessing.tokenizer == "wordpiece" and system.vocab_size != len(read_vocab(uncased_vocab())):
        path = folder / "vocab.txt"
        write_vocab(path, (f"piece{number}" for number in range(system.vocab_size - _SPECIAL)))
        yield from ("--vocab", str(path))
    state = {key: value for key, value in system.state_dict().items() if card.networks and card.networks in key}
    for kind in sorted({key.removeprefix(card.networks).partition(".")[0] for key in state}):
        prefix, path = f"{card.networks}{kind}.", folder / f"{kind}.pth"
        torch.save({key.removeprefix(prefix): x for key, x in state.items() if key.startswith(prefix)}, path)
        yield from ("--extractor", str(path))
