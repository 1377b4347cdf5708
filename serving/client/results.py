"""What a server answers, as values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ...export.bundle.ports import FEATURES, VIDEO
from ...export.bundle.segments import Cutting

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Hit:
    """One video that was found.

    ``attention`` is the weight of each of the F frames, empty where the model weighs no frames; ``timestamps`` are the
    frames' times in seconds, empty where the video came as features. ``source``, ``duration`` in seconds and
    ``metadata`` are as they were when it was indexed; they are None where no facts were asked for, where those of the
    hits before fill an answer (1 MiB), and the duration of what came as features. ``segment`` is the number of the
    video's segment that was found, from 0, and ``start`` and ``end`` are where it lies in seconds; None where the hit
    is all of the video, and where there are no facts.
    """

    id: str
    score: float
    attention: tuple[float, ...]
    timestamps: tuple[float, ...]
    source: str | None = None
    duration: float | None = None
    metadata: Mapping[str, Any] | None = None
    segment: int | None = None
    start: float | None = None
    end: float | None = None

    @property
    def moment(self) -> float | None:
        """The time of the frame with the most attention, the earlier one among equals, in seconds.

        None where the model weighs no frames.
        """
        if not self.attention:
            return None
        return self.timestamps[self.attention.index(max(self.attention))]

    def to_dict(self) -> dict[str, Any]:
        """The hit as JSON's types; ``moment`` and ``attention`` are None where the model weighs no frames.

        ``segment`` is an object of number, start and end, or None.
        """
        return {
            "id": self.id,
            # JSON has no NaN and no infinity.
            "score": self.score if math.isfinite(self.score) else None,
            "moment": self.moment,
            "attention": [weight if math.isfinite(weight) else None for weight in self.attention] or None,
            "timestamps": list(self.timestamps),
            "source": self.source,
            "duration": self.duration,
            "metadata": None if self.metadata is None else dict(self.metadata),
            "segment": None if self.segment is None else {"number": self.segment, "start": self.start, "end": self.end},
        }


@dataclass(frozen=True)
class Shortlist:
    """Where a search's candidates came from, where another model chose them from a gallery of its own.

    ``system``, ``fingerprint`` and ``version`` are that model's and its gallery's. Of the ``chosen`` candidates those
    were scored that the searched gallery has; ``missing`` are the ids of the others. ``unlisted`` videos of the
    searched gallery are not in the other one, so no search finds them that doesn't name them as candidates.
    """

    system: str
    fingerprint: str
    version: int
    chosen: int
    missing: tuple[str, ...]
    unlisted: int

    def to_dict(self) -> dict[str, Any]:
        """The short list as JSON's types."""
        return {**asdict(self), "missing": list(self.missing)}


@dataclass(frozen=True)
class SearchResult:
    """The best videos for one query, best first, and the ``version`` of the gallery that was searched.

    ``cut`` says that the query is longer than the model reads: what follows its first words had no part in the search.
    ``shortlist`` says where candidates came from; None where all videos were searched, or those that the caller named.
    ``next`` asks for the page after, None after the last, and ``among`` is the number of videos that were searched.
    Both are None of a search without facts or another option. Where the server leaves videos out, by proof or by a
    coarse stage, ``exact`` says whether its hits are surely the best, and ``rescored`` how many videos it scored;
    elsewhere both are None. ``recall`` is the share of the best videos that the coarse stage led to when it was
    calibrated, 1 where it had no part in the search, and None where the server has none. ``like`` is what was searched
    with in the place of a text, which then is empty, or beside one: the id of a video, or the name of what was sent.
    ``missing`` names the shards that did not answer, where a partial answer was asked for of a gallery in shards.
    """

    query: str
    hits: tuple[Hit, ...]
    version: int
    cut: bool = False
    shortlist: Shortlist | None = None
    next: str | None = None
    among: int | None = None
    exact: bool | None = None
    rescored: int | None = None
    recall: float | None = None
    like: str | None = None
    missing: tuple[str, ...] | None = None

    def to_dict(self) -> dict[str, Any]:
        """The result as JSON's types; ``shortlist`` is None where there is none."""
        return {
            "query": self.query,
            **({} if self.like is None else {"like": self.like}),
            "version": self.version,
            "cut": self.cut,
            "shortlist": None if self.shortlist is None else self.shortlist.to_dict(),
            "among": self.among,
            **({} if self.exact is None else {"exact": self.exact, "rescored": self.rescored}),
            **({} if self.recall is None else {"recall": self.recall}),
            **({} if self.missing is None else {"missing": list(self.missing)}),
            "next": self.next,
            "hits": [hit.to_dict() for hit in self.hits],
        }


@dataclass(frozen=True)
class VideoFacts:
    """What the gallery knows of a video beside its record, see ``Hit``: also how many segments it is kept in.

    ``cutting`` is how it was cut: None where it was not, and where its records were imported without saying so.
    """

    id: str
    source: str
    duration: float | None
    metadata: Mapping[str, Any]
    segments: int = 1
    cutting: Cutting | None = None

    def to_dict(self) -> dict[str, Any]:
        """The facts as JSON's types."""
        return {
            "id": self.id,
            "source": self.source,
            "duration": self.duration,
            "metadata": dict(self.metadata),
            "segments": self.segments,
            "cutting": None if self.cutting is None else self.cutting.to_dict(),
        }


@dataclass(frozen=True)
class VideoPage:
    """Videos in the order in which they were indexed, of one ``version`` of the gallery, which has ``count`` of them.

    ``next`` asks for the page after; None where this is the last.
    """

    videos: tuple[VideoFacts, ...]
    next: str | None
    count: int
    version: int


@dataclass(frozen=True)
class Edited:
    """What became of videos: the ids that were ``changed``, those that were not there, and the gallery after it."""

    changed: tuple[str, ...]
    absent: tuple[str, ...]
    version: int
    count: int


@dataclass(frozen=True)
class Indexed:
    """A video that is in the gallery now, under ``id``: the gallery's version and size with it.

    ``digest`` is the SHA-256 of the file as it was sent; of a film that was cut what stands for that too
    (``Cutting.digest``), and ``file_digest`` is the file's alone. ``before`` is how the film was cut that it took the
    place of, as ``index_many`` tells: None where there was none, and where it was whole or cut as now.
    """

    id: str
    version: int
    count: int
    digest: bytes = b""
    file_digest: bytes = b""
    before: Cutting | None = None


@dataclass(frozen=True)
class Served:
    """What answers at an address: a model, and the gallery that it fills and searches.

    ``system`` and ``fingerprint`` are the model's, ``gallery`` is the gallery's folder on the server's machine: each is
    empty where the server doesn't tell. ``count`` is the number of videos in the gallery. ``takes`` are the kinds of
    files that the model reads of a video, "video" or "features" or both, and ``arrays`` says what a feature file holds.
    ``shortlist`` names the model that chooses candidates, with its gallery, which is filled too; empty where none does.
    """

    address: str
    system: str
    fingerprint: str
    gallery: str
    count: int
    takes: tuple[str, ...] = (VIDEO,)
    arrays: str = ""
    shortlist: str = ""

    @property
    def reads_films(self) -> bool:
        """Whether a video may come as a film."""
        return VIDEO in self.takes

    @property
    def reads_features(self) -> bool:
        """Whether a video may have a feature file."""
        return FEATURES in self.takes


@dataclass(frozen=True)
class LookupResult:
    """The SHA-256 of the file of every id that the gallery has; the others are missing from ``digests``.

    ``count`` is the number of videos in the gallery, and ``version`` the gallery's.
    """

    digests: Mapping[str, bytes]
    count: int
    version: int


@dataclass(frozen=True, eq=False)
class VideoRecord:
    """An encoded video: its record tensors by name, float32 without a batch dimension.

    ``timestamps`` float32 [F] and ``duration`` are seconds; None where frames were encoded instead of a file.
    """

    tensors: Mapping[str, Floats]
    timestamps: Floats | None = None
    duration: float | None = None


@dataclass(frozen=True, eq=False)
class Scores:
    """``scores`` float32 [Q, V] of Q texts and V videos, and the ``attention`` float32 [Q, V, F] behind them.

    ``attention`` is None where the model weighs no frames.
    """

    scores: Floats
    attention: Floats | None = None
