"""Word vectors beside a checkpoint: word2vec's own files, binary and text, cut to their first words.

A binary file, such as ``GoogleNews-vectors-negative300.bin``, begins with a line of the number of words and of numbers
of a vector; then come, word by word, the word, a blank, and the vector as float32. A text file has a line a word.
Either may be gzipped, as its authors offer it.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from io import BufferedReader
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray

from .bundle.errors import CheckpointError
from .checkpoint import Checkpoint
from .systems.inspection import inspect

# Files of that kind, as they are called beside a checkpoint.
NAMES = (
    "GoogleNews-vectors-negative300.bin",
    "GoogleNews-vectors-negative300.bin.gz",
    "word_vectors.bin",
    "word_vectors.txt",
)
_LONGEST_WORD, _LONGEST_LINE, _WIDEST = 4096, 1 << 20, 1 << 16


@dataclass(frozen=True, eq=False)
class WordVectors:
    """N words and their vectors float32 [N, width]."""

    words: tuple[str, ...]
    vectors: NDArray[np.float32]


def with_word_vectors(
    file: Checkpoint, given: Path | None, beside: Path, system: str, options: Mapping[str, Any]
) -> tuple[Checkpoint, Path | None]:
    """The checkpoint with the word vectors that its system needs, and the vocabulary that is still to be read.

    Args:
        given: the file that the caller named, if any.
        beside: the checkpoint's folder, where it is looked for otherwise.

    Raises:
        CheckpointError: the system needs vectors, and there are none or others.
    """
    inspection = inspect(file.state, system, {**file.options, **options})
    tensor = inspection.card.vectors
    if not tensor or tensor in file.state:
        return file, given
    path = given or next((beside / name for name in NAMES if (beside / name).is_file()), None)
    if path is None:
        raise inspection.weights.error(
            f"its words have no vectors: put {NAMES[0]} beside it, gzipped or not, or another file of word2vec's that "
            f"is called {NAMES[2]} or {NAMES[3]}, or pass it (--vocab)"
        )
    most = options.get("words", inspection.assumed["words"][0])
    found = read_word_vectors(path, most if type(most) is int else 0)
    if found.vectors.shape[1] != inspection.sizes.word:
        raise inspection.weights.error(
            f"it reads word vectors of {inspection.sizes.word} numbers, and those of {path} have "
            f"{found.vectors.shape[1]}: bring those that it was trained with"
        )
    table = np.concatenate([np.zeros((1, found.vectors.shape[1]), np.float32), found.vectors])
    state = {**file.state, tensor: torch.from_numpy(table)}
    note = f"words: the first {len(found.words)} of {path}"
    return replace(file, state=state, merges="\n".join([*found.words, ""]), notes=(*file.notes, note)), None


def read_word_vectors(path: Path, most: int) -> WordVectors:
    """The first ``most`` words of a file of word vectors; of a word that comes twice the first counts.

    Raises:
        CheckpointError: no such file, or one that is damaged.
    """
    try:
        with BufferedReader(gzip.GzipFile(path)) if path.suffix == ".gz" else path.open("rb") as stream:
            # Of a gzipped file no more is unpacked than these words.
            count, width = _header(path, stream)
            read = _text if ".txt" in path.suffixes[-2:] else _binary
            found: dict[str, NDArray[np.float32]] = {}
            for word, vector in read(path, stream, min(count, max(most, 1)), width):
                # What has no line of its own in a bundle's file of words is no word that anybody asks for.
                if word and "\n" not in word:
                    found.setdefault(word, vector)
    except (OSError, EOFError, zlib.error) as error:
        told = getattr(error, "strerror", None) or error
        raise CheckpointError(f"the word vectors {path} can't be read: {told}") from error
    if not found:
        raise CheckpointError(f"the word vectors {path} hold no word")
    vectors = np.stack(list(found.values()))
    if not np.isfinite(vectors).all():
        raise CheckpointError(f"the word vectors {path} hold NaN or infinity: fetch the file again")
    return WordVectors(tuple(found), vectors)


def _header(path: Path, stream: BinaryIO) -> tuple[int, int]:
    fields = stream.readline(64).split()
    if len(fields) != 2 or not all(field.isdigit() for field in fields):
        raise CheckpointError(f"{path} is no file of word vectors: it does not begin with two numbers")
    count, width = map(int, fields)
    if not count or not 1 <= width <= _WIDEST:
        raise CheckpointError(f"{path} says it has {count} words of {width} numbers each")
    return count, width


def _binary(path: Path, stream: BinaryIO, count: int, width: int) -> Iterator[tuple[str, NDArray[np.float32]]]:
    for number in range(count):
        raw = bytearray()
        while (byte := stream.read(1)) != b" ":
            if not byte or len(raw) > _LONGEST_WORD:
                raise _cut(path, number)
            # Some writers end a vector with a line break, which begins the next word here.
            if byte != b"\n" or raw:
                raw += byte
        vector = stream.read(4 * width)
        if len(vector) < 4 * width:
            raise _cut(path, number)
        yield raw.decode("utf-8", "replace"), np.frombuffer(vector, "<f4").astype(np.float32)


def _text(path: Path, stream: BinaryIO, count: int, width: int) -> Iterator[tuple[str, NDArray[np.float32]]]:
    for number in range(count):
        word, *numbers = stream.readline(_LONGEST_LINE).decode("utf-8", "replace").rstrip("\r\n ").split(" ")
        try:
            vector = np.array(numbers, np.float32)
        except ValueError:
            vector = np.empty(0, np.float32)
        if not word or len(vector) != width:
            raise _cut(path, number)
        yield word, vector


def _cut(path: Path, number: int) -> CheckpointError:
    return CheckpointError(f"the word vectors {path} are damaged or cut off at word {number + 1}: fetch the file again")
