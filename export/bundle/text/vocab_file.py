"""BERT's vocabulary file: one word piece a line, plain or gzipped; a piece's id is the number of its line, from 0."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path

from ..errors import BundleError

START, END, PADDING, UNKNOWN = "[CLS]", "[SEP]", "[PAD]", "[UNK]"

_LARGEST = 16 << 20


def uncased_vocab() -> Path:
    """The vocabulary of bert-base-uncased, 30,522 pieces, which comes with framesift."""
    return Path(str(files(__package__) / "bert_uncased_vocab.txt.gz"))


def read_vocab(path: Path) -> dict[str, int]:
    """The pieces of a file and their ids.

    Raises:
        BundleError: unreadable, larger than any vocabulary, a piece that is there twice, or a special one that is not.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
            # Only so much is unpacked: a small file can hold gigabytes.
            raw = stream.read(_LARGEST + 1)
        if len(raw) > _LARGEST:
            raise BundleError(f"the vocabulary {path} holds more than {_LARGEST >> 20} MiB, which none does")
        text = raw.decode("utf-8")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise BundleError(f"the vocabulary {path} can't be read: {error}") from error
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
