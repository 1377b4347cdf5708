"""Reading and writing a BPE merges file: one merge per line, plain or gzipped."""

from __future__ import annotations

import gzip
from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path

from ..errors import BundleError
from .bounded_file import read_text
from .bpe import BYTE_SYMBOLS, END_OF_WORD, Merge

# OpenAI's file lists 262,144 merges; CLIP's vocabulary of 49,408 has room for the first 48,894.
MAX_MERGES = 48_894

_HEADER = "#version: 0.2"


def clip_merges() -> Path:
    """The merges file of OpenAI's CLIP, shipped with framesift: a header and the merges that CLIP uses."""
    return Path(str(files(__package__) / "clip_merges.txt.gz"))


def read_merges(path: Path) -> list[Merge]:
    """The first ``MAX_MERGES`` merges of a file; a first line that names a version is skipped.

    Raises:
        BundleError: unreadable, larger than any vocabulary, or a line that is not two symbols known before it.
    """
    text = read_text(path, "the merges file")
    lines = text.split("\n")
    skipped = 1 if "#version" in lines[0] else 0
    known = {symbol + end for symbol in BYTE_SYMBOLS.values() for end in ("", END_OF_WORD)}
    merges: list[Merge] = []
    for number, line in enumerate(lines[skipped : skipped + MAX_MERGES], start=skipped + 1):
        if not line.strip():
            continue
        match line.split():
            case [left, right] if left in known and right in known:
                merges.append((left, right))
                known.add(left + right)
            case _:
                raise BundleError(f"{path}, line {number}: {line!r} is not a merge of two symbols known before it")
    return merges


def merges_text(path: Path) -> str:
    """The merges of a file as the text of a plain merges file.

    Raises:
        BundleError: as ``read_merges``.
    """
    return _text(" ".join(pair) for pair in read_merges(path))


def write_merges(path: Path, merges: Iterable[str]) -> None:
    """Write merges, lines ``left right``, for ``read_merges``; gzipped if the name ends in .gz."""
    raw = _text(merges).encode("utf-8")
    # Without a time stamp the same merges give the same bytes, and the bundle the same hash.
    path.write_bytes(gzip.compress(raw, mtime=0) if path.suffix == ".gz" else raw)


def _text(merges: Iterable[str]) -> str:
    return "\n".join([_HEADER, *merges, ""])
