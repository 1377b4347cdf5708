"""Captions with their videos, read from annotation files as their authors published them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..bundle.errors import InvalidInput
from .annotations import read_annotations
from .scores import Ints


@dataclass(frozen=True, eq=False)
class CaptionSet:
    """Q captions of V videos: caption q belongs to ``videos[target[q]]``; videos in order of first appearance."""

    captions: tuple[str, ...]
    videos: tuple[str, ...]
    target: Ints

    @classmethod
    def of_pairs(cls, pairs: Iterable[tuple[str, str]]) -> CaptionSet:
        """From (video, caption) pairs in the file's order; the captions of one video need not stand together."""
        place: dict[str, int] = {}
        captions, target = [], []
        for video, caption in pairs:
            target.append(place.setdefault(video, len(place)))
            captions.append(caption)
        return cls(tuple(captions), tuple(place), np.array(target, np.int64))


def load_captions(path: str | os.PathLike[str], data: str | os.PathLike[str] | None = None) -> CaptionSet:
    """Read a file of captions; suffix and content decide its layout.

    ====================== ==================================================================================
    ``.jsonl``             ``{"video": "a.mp4", "captions": ["..."]}`` a line, as ``framesift finetune`` reads
    ``.csv``, with header  MSR-VTT: columns ``video_id`` and ``sentence`` (``MSRVTT_JSFUSION_test.csv``)
    ``.csv``, with tabs    LSMDC: clip, four times, sentence (``LSMDC16_challenge_1000_publictect.csv``)
    ``.json``              ``MSRVTT_data.json``, MSVD's ``captions_msvd.json``, DiDeMo's ``test_data.json``
    ====================== ==================================================================================

    A list of ids alone (a column ``video_id`` in a ``.csv``, as in MSR-VTT's 7k and 9k splits, or an id a line in a
    ``.txt``, as in MSVD's and DiDeMo's ``test_list.txt``) takes its captions from ``data``, one of the ``.json`` files.

    Raises:
        InvalidInput: a file that is absent or doesn't fit; lines or entries are named.
    """
    file = Path(path)
    pairs = read_annotations(file, None if data is None else Path(data))
    if not pairs:
        raise InvalidInput(f"{file} has no captions")
    return CaptionSet.of_pairs(pairs)
