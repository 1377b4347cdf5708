"""Every published system's example as the files of its authors, and exported once for all tests."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from framesift.export.build import build_bundle
from framesift.export.bundle.store import Bundle
from framesift.export.bundle.text.merges_file import write_merges
from framesift.export.bundle.text.tokenizers import TOKENIZERS
from framesift.export.bundle.text.vocab_file import write_vocab
from framesift.export.systems.bert import SMALL_PIECES
from framesift.export.systems.examples import examples, options_of, small_system, write_weights, write_word_vectors
from framesift.export.systems.registry import AUTO

from .exporting import built_once


def given_options(name: str) -> dict[str, Any]:
    """The options that make the example of that name again of its weights: those that they may not show."""
    card, example = examples()[name]
    declared = {option.name for option in card.options}
    return {option: value for option, value in options_of(card, example).items() if option in declared}


def asked_as(name: str, state: Mapping[str, Tensor]) -> str:
    """``AUTO``, or the system of the example of that name where its weights are another system's as well."""
    card, _ = examples()[name]
    shown = any(key.startswith(sign.prefix) for sign in card.signs for key in state)
    return card.name if card.implied or not shown or any(sign.given for sign in card.signs) else AUTO


def write_checkpoint(name: str, folder: Path) -> tuple[Path, Path]:
    """The example of that name as a file as authors leave it, see ``write_weights``; and its vocabulary's file."""
    card, _ = examples()[name]
    system = small_system(name)
    model = write_weights(card, system, folder)
    kind = card.preprocessing.tokenizer
    vocabulary = folder / TOKENIZERS[kind].file
    if card.vectors:
        vocabulary = folder / "word_vectors.bin"
        write_word_vectors(vocabulary, system.get_parameter(card.vectors).detach()[1:].numpy())
    elif kind == "wordpiece":
        write_vocab(vocabulary, SMALL_PIECES)
    else:
        write_merges(vocabulary, [])
    return model, vocabulary


def small_bundle(name: str, bundles: Path) -> Bundle:
    """The example of that name, exported as its authors' file is: with the options that its weights don't show."""
    card, _ = examples()[name]
    options = {option: value for option, value in given_options(name).items() if option not in card.implied}

    def build(out: Path) -> Bundle:
        with tempfile.TemporaryDirectory() as folder:
            checkpoint, merges = write_checkpoint(name, Path(folder))
            system = asked_as(name, small_system(name).state_dict())
            return build_bundle(checkpoint, out, options=options, system=system, merges=merges)

    return built_once(bundles / name.replace(" ", "-"), build)
