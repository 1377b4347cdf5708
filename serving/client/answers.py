"""A server's answers, read from their tensors."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import chain, islice, repeat
from typing import Any, Protocol

import numpy.typing as npt

from ...export.bundle.errors import ServerError
from ...export.bundle.models import CUT
from ...export.bundle.packing import unpack_joined, unpack_row
from ...export.bundle.ports import (
    ATTENTION,
    COUNT,
    DETAILS,
    DIGESTS,
    DURATION,
    EXACT,
    ID_LENGTHS,
    IDS,
    PRESENT,
    RECALL,
    RESCORED,
    SCORES,
    SHORTLIST,
    TIMESTAMPS,
    VERSION,
)
from ...export.bundle.segments import Cutting
from .results import Edited, Hit, LookupResult, SearchResult, Shortlist, VideoFacts, VideoPage, VideoRecord


class Answered(Protocol):
    """A model's answer, as tritonclient's ``InferResult`` has it."""

    def as_numpy(self, name: str) -> npt.NDArray[Any] | None:
        """One tensor; None where there is none."""

    def get_response(self) -> Any:
        """The message."""


def output(result: Answered, name: str) -> npt.NDArray[Any]:
    """One tensor of an answer.

    Raises:
        ServerError: the answer has no such tensor.
    """
    array: npt.NDArray[Any] | None = result.as_numpy(name)
    if array is None:
        raise ServerError(f"the server's answer has no {name}: client and server are not of one version")
    return array


def weights(result: Answered) -> npt.NDArray[Any] | None:
    """The attention in an answer; None where the model has none."""
    array: npt.NDArray[Any] | None = result.as_numpy(ATTENTION)
    return array


def search_results(result: Answered, texts: Sequence[str], like: str | None = None) -> list[SearchResult]:
    """The results for ``texts``, in order, and for what else was searched with, if anything."""
    joined, lengths = output(result, IDS), output(result, ID_LENGTHS)
    scores = output(result, SCORES).tolist()
    times, attention = result.as_numpy(TIMESTAMPS), weights(result)
    versions, chosen = output(result, VERSION), result.as_numpy(SHORTLIST)
    exact, rescored, recall = (result.as_numpy(name) for name in (EXACT, RESCORED, RECALL))
    told = result.get_response().parameters
    cut = set(told[CUT].string_param.split(",")) if CUT in told else set()
    details = _details(result, len(texts))
    return [
        SearchResult(
            text,
            tuple(
                Hit(id_, score, tuple(counted), tuple(seconds), **facts)
                for id_, score, counted, seconds, facts in zip(
                    unpack_joined(joined[row], lengths[row], IDS),
                    scores[row],
                    [()] * len(scores[row]) if attention is None else attention[row].tolist(),
                    # A video that came as features has none.
                    [()] * len(scores[row]) if times is None else times[row].tolist(),
                    [fact or {} for fact in islice(chain(details[row]["hits"], repeat({})), len(scores[row]))],
                    strict=True,
                )
                # A text with fewer hits than another has places that nothing stands in.
                if id_
            ),
            int(versions[row, 0]),
            str(row) in cut,
            None if chosen is None else _shortlist(chosen[row]),
            details[row]["next"],
            details[row]["among"],
            None if exact is None else bool(exact[row, 0]),
            None if rescored is None else int(rescored[row, 0]),
            None if recall is None else round(float(recall[row, 0]), 4),
            like,
            None if details[row].get("missing") is None else tuple(details[row]["missing"]),
        )
        for row, text in enumerate(texts)
    ]


def _shortlist(row: npt.NDArray[Any]) -> Shortlist | None:
    told = json.loads(unpack_row(row, SHORTLIST))
    return Shortlist(**{**told, "missing": tuple(told["missing"])}) if told else None


def record_list(result: Answered) -> list[VideoRecord]:
    """The records of every clip, whatever tensors they have."""
    arrays = {port.name: output(result, port.name) for port in result.get_response().outputs}
    times, durations = arrays.pop(TIMESTAMPS, None), arrays.pop(DURATION, None)
    return [
        VideoRecord(
            {name: array[row] for name, array in arrays.items()},
            None if times is None else times[row],
            None if durations is None else float(durations[row, 0]),
        )
        for row in range(min(map(len, arrays.values())))
    ]


def lookup_result(result: Answered, ids: Sequence[str]) -> LookupResult:
    """What the gallery has of ``ids``."""
    present, digests = output(result, PRESENT), output(result, DIGESTS)
    return LookupResult(
        {id_: digests[row].tobytes() for row, id_ in enumerate(ids) if present[row]},
        int(output(result, COUNT)[0]),
        int(output(result, VERSION)[0]),
    )


def facts_list(result: Answered, ids: Sequence[str]) -> list[VideoFacts | None]:
    """What is known of every one of ``ids``."""
    found = json.loads(output(result, DETAILS).tobytes())
    return [fact and _facts({"id": id_, **fact}) for id_, fact in zip(ids, found, strict=True)]


def video_page(result: Answered) -> VideoPage:
    """A page of the list of videos."""
    told = json.loads(output(result, DETAILS)[0].tobytes().rstrip(b"\0"))
    videos = tuple(map(_facts, told["videos"]))
    return VideoPage(videos, told["next"], told["count"], told["version"])


def _facts(told: dict[str, Any]) -> VideoFacts:
    cutting = told.pop("cutting", None)
    return VideoFacts(**told, cutting=None if cutting is None else Cutting.of(cutting))


def edited(result: Answered, ids: Sequence[str]) -> Edited:
    """What became of ``ids``."""
    present = output(result, PRESENT).tolist()
    return Edited(
        tuple(id_ for id_, there in zip(ids, present, strict=True) if there),
        tuple(id_ for id_, there in zip(ids, present, strict=True) if not there),
        int(output(result, VERSION)[0]),
        int(output(result, COUNT)[0]),
    )


def _details(result: Answered, rows: int) -> list[dict[str, Any]]:
    """What is told of every text's hits, where it was asked for."""
    told: npt.NDArray[Any] | None = result.as_numpy(DETAILS)
    if told is None:
        return [{"hits": [], "next": None, "among": None}] * rows
    return [json.loads(row.tobytes().rstrip(b"\0")) for row in told]
