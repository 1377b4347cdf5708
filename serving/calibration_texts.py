"""Texts by which a gallery is calibrated: those that its user has, or those that its videos' metadata hold."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..export.bundle.errors import InvalidInput, InvalidQuery
from ..export.bundle.limits import MAX_TEXT_BYTES
from ..export.bundle.ports import METADATA, SCORER, TEXT_ENCODER, TOKEN_IDS
from ..export.bundle.sessions import cpu_session
from ..export.bundle.store import Bundle
from ..export.evaluation.captions import load_captions
from .gallery.store import Gallery
from .search.onnx_scorer import Floats

_CAPTIONS = (".json", ".csv")
_AT_ONCE = 16


def texts_of_file(path: Path, limit: int) -> list[str]:
    """Different texts of a file, ``limit`` of them at most, evenly spaced.

    It has one a line; or is an access log of ``framesift serve --log-texts``, or captions in a layout that
    ``load_captions`` knows.

    Raises:
        InvalidInput: a file that can't be read, or has no text.
    """
    if path.suffix.lower() in _CAPTIONS:
        found: Sequence[str] = load_captions(path).captions
    else:
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidInput(f"{path} can't be read: {error}") from error
        if path.suffix.lower() != ".jsonl" and not any(line.startswith("{") for line in lines[:1]):
            found = lines
        elif (logged := _logged(lines)) is None:
            found = load_captions(path).captions
        else:
            found = logged
    return _spaced(found, limit, f"{path} holds no text")


def texts_of_metadata(galleries: Sequence[Gallery], key: str, limit: int) -> list[str]:
    """Different values of a key of the videos' metadata, or the texts of a list that it holds.

    Args:
        galleries: one, or all shards of one.

    Raises:
        InvalidInput: no video has a text there.
        GalleryError: the gallery can't be read.
    """
    found: list[str] = []
    for batch in (batch for gallery in galleries for batch in gallery.reader().scan([METADATA])):
        for told in batch.column(METADATA).to_pylist():
            try:
                value = json.loads(told).get(key)
            # What others wrote into the table may be anything.
            except (ValueError, AttributeError, RecursionError):
                continue
            found += [text for text in (value if isinstance(value, list) else [value]) if isinstance(text, str)]
    folder = galleries[0].root if len(galleries) == 1 else galleries[0].root.parent
    return _spaced(found, limit, f"no video in {folder} has a text in its metadata's {key!r}")


def text_records(bundle: Bundle, texts: Sequence[str]) -> dict[str, Floats]:
    """The records [T, ...] of texts, as a server's text encoder makes them.

    Raises:
        InvalidQuery: a text that can't be encoded.
        BundleError: a vocabulary that can't be read.
    """
    tokenizer = bundle.tokenizer()
    session = cpu_session(bundle.graph(TEXT_ENCODER), 2)
    names = [port.name for port in session.get_outputs()]
    parts: list[list[Any]] = []
    for start in range(0, len(texts), _AT_ONCE):
        try:
            ids = tokenizer.encode(list(texts[start : start + _AT_ONCE]))
        except InvalidQuery as error:
            raise InvalidQuery(f"one of the texts {start + 1} to {start + _AT_ONCE}: {error}") from error
        parts.append(session.run(names, {TOKEN_IDS: ids}))
    read = {port.name for port in bundle.manifest.graphs[SCORER].inputs}
    whole = (np.concatenate(part) for part in zip(*parts, strict=True))
    return {name: values for name, values in zip(names, whole, strict=True) if name in read}


def _logged(lines: Sequence[str]) -> list[str] | None:
    """The texts of an access log; None where it is none."""
    found: list[str] = []
    for line in lines:
        try:
            told = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if not isinstance(told, dict) or "video" in told:
            return None
        texts = told.get("texts", [])
        found += [text for text in texts if isinstance(text, str)] if isinstance(texts, list) else []
    return found


def _spaced(texts: Sequence[str], limit: int, none: str) -> list[str]:
    whole = (text.strip() for text in texts)
    found = list(dict.fromkeys(text for text in whole if text and len(text.encode()) <= MAX_TEXT_BYTES))
    if not found:
        raise InvalidInput(none)
    places = np.linspace(0, len(found) - 1, min(limit, len(found))).round().astype(int)
    return [found[place] for place in places.tolist()]
