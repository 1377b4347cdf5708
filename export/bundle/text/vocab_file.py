"""BERT's vocabulary file: one word piece a line, plain or gzipped; a piece's id is the number of its line, from 0."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path

from ..errors import BundleError
from .bounded_file import read_text

START, END, PADDING, UNKNOWN = "[CLS]", "[SEP]", "[PAD]", "[UNK]"


def uncased_vocab() -> Path:
    """The vocabulary of bert-base-uncased, 30,522 pieces, which comes with framesift."""
    return Path(str(files(__package__) / "bert_uncased_vocab.txt.gz"))


def read_vocab(path: Path) -> dict[str, int]:
    """The pieces of a file and their ids.

    Raises:
        BundleError: unreadable, larger than any vocabulary, a piece that is there twice, or a special one that is not.
    """
    text = read_text(path, "the vocabulary")
    lines = text.replace("\r\n", "\n").removesuffix("\n").split("\n")
    ids = {piece: number for number, piece in enumerate(lines)}
    if len(ids) < len(lines):
        number = next(number for number, piece in enumerate(lines) if ids[piece] != number)
        raise BundleError(f"{path}, line {number + 1}: the piece {lines[number][:40]!r} is there twice")
    if missing := [piece for piece in (PADDING, UNKNOWN, START, END) if piece not in ids]:
        raise BundleError(f"{path} is no vocabulary of word pieces: it has no {', '.join(missing)}")
    return ids


def write_vocab(path: Path, pieces: Iterable[str]) -> None:
    """Write a vocabulary for ``read_vocab``: padding first, the other special pieces, then ``pieces``."""
    path.write_text("\n".join([PADDING, UNKNOWN, START, END, *pieces, ""]), encoding="utf-8")
