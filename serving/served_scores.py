"""The scores that a running server gives to the captions of a test set."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..export.bundle.errors import DeadlineExceeded, GalleryError, InvalidInput, InvalidQuery, ServerUnavailable
from ..export.bundle.limits import MAX_TOP
from ..export.evaluation.captions import CaptionSet
from ..export.evaluation.names import DEFAULT_RULE, T2V
from ..export.evaluation.report import EvaluationReport
from ..export.evaluation.scores import ScoreMatrix
from ..export.evaluation.truncated import truncated_t2v
from .client.results import Indexed, SearchResult
from .client.sync import Client

# Few enough texts that the bar moves, enough that the server scores them in one pass over the gallery.
_TEXTS_PER_CALL = 8
# A text that takes so many seconds has a transformer read it with every video. The server takes such texts one by one,
# and so many on their way keep it at work.
_SLOW_S, _SLOW_JOBS = 1.0, 2
_SHOWN = 50
_QUOTED = 60
# Seconds to wait before each new try while the server is overloaded or restarting.
_RETRY_AFTER_S = (0.5, 1.0, 2.0, 4.0, 8.0)


@dataclass(frozen=True, eq=False)
class Served:
    """Scores of Q captions against the V videos that they name, as searches answered them.

    ``seen`` [Q, V] says which scores an answer held, and ``lowest`` [Q] is the score of its last hit. Everything is
    seen where ``whole``: the gallery has no more videos than an answer, ``top``. Scores not seen are -inf.
    """

    matrix: ScoreMatrix
    seen: NDArray[np.bool_]
    lowest: NDArray[np.float32]
    top: int
    whole: bool

    def truncated_report(self) -> EvaluationReport:
        """The report of answers that don't hold the whole gallery: text-to-video, under the default rule.

        Raises:
            InvalidInput: answers that leave R@10 open.
        """
        found = truncated_t2v(self.matrix, self.seen, self.lowest)
        queries, videos = self.seen.shape
        missed = int((~self.seen[np.arange(queries), self.matrix.target]).sum())
        notes = [
            f"Answers held the best {self.top} of a larger gallery; {missed} captions did not find their video there."
        ]
        return EvaluationReport(DEFAULT_RULE, queries, videos, {T2V: found}, notes=notes)


def served_scores(
    client: Client,
    captions: CaptionSet,
    *,
    suffix: str = "",
    jobs: int = 4,
    most: int = MAX_TOP,
    need_all: bool = False,
    done: Callable[[int], object] = lambda _: None,
) -> Served:
    """Search for every caption, ``jobs`` requests at a time, and keep the scores of the videos that captions name.

    Other videos of the gallery don't count. ``done`` is called with the number of captions answered since.

    Args:
        suffix: what the gallery's ids have after those of the captions, e.g. ``.mp4``.
        most: the most hits to ask for.
        need_all: refuse a gallery that is larger than an answer, before anything is searched for.

    Raises:
        InvalidInput: videos that the gallery lacks, all named up to fifty; a gallery that is too large; or a caption
            that can't be searched for.
        GalleryError: one of the videos was removed or indexed anew meanwhile.
        ServerError: the server stays away.
    """
    ids = [video + suffix for video in captions.videos]
    column = {id_: place for place, id_ in enumerate(ids)}
    found = client.lookup(ids)
    if missing := [id_ for id_ in ids if id_ not in found.digests]:
        more = f"\n  and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
        raise InvalidInput(
            f"{len(missing)} of {len(ids)} videos are not in the gallery under these ids; index them, see "
            "`framesift index --id-from`, or give what the gallery's ids have after them with --id-suffix:\n  "
            + "\n  ".join(missing[:_SHOWN])
            + more
        )
    whole = found.count <= most
    if need_all and not whole:
        raise InvalidInput(
            f"the gallery has {found.count} videos and an answer at most {most}, so most scores would not be known: "
            f"only {T2V} under the rule `{DEFAULT_RULE}` can be measured, without post-processing. For the rest use a "
            "gallery of the evaluated videos alone"
        )
    # What lookups see is searched within a second.
    client.wait_searchable(Indexed("the gallery", found.version, found.count))
    top, shape = min(found.count, most), (len(captions.captions), len(ids))
    scores, seen = np.full(shape, -np.inf, np.float32), np.zeros(shape, bool)
    lowest = np.full(shape[0], -np.inf, np.float32)

    def work(start: int, count: int) -> int:
        # Each answer is read here and forgotten: a thousand hits with their frames take megabytes.
        results = _search(client, captions.captions[start : start + count], top)
        for row, result in enumerate(results, start=start):
            for hit in result.hits:
                if (place := column.get(hit.id)) is not None:
                    scores[row, place], seen[row, place] = hit.score, True
            lowest[row] = result.hits[-1].score if result.hits else -np.inf
        return len(results)

    began = time.monotonic()
    done(work(0, 1))
    slow = time.monotonic() - began > _SLOW_S
    step = 1 if slow else _TEXTS_PER_CALL
    pool = ThreadPoolExecutor(min(jobs, _SLOW_JOBS) if slow else jobs, thread_name_prefix="evaluate")
    try:
        for future in as_completed([pool.submit(work, start, step) for start in range(1, shape[0], step)]):
            done(future.result())
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    if (whole and not seen.all()) or client.lookup(ids).digests != found.digests:
        raise GalleryError(
            "the gallery changed while it was evaluated, so answers are of different galleries: run it again"
        )
    return Served(ScoreMatrix(scores, captions.target), seen, lowest, top, whole)


def _search(client: Client, texts: Sequence[str], top: int) -> list[SearchResult]:
    waits = iter(_RETRY_AFTER_S)
    while True:
        try:
            return client.search_many(texts, top, facts=False)
        except InvalidQuery as error:
            if len(texts) == 1:
                raise InvalidQuery(f"the caption {texts[0][:_QUOTED]!r} can't be searched for: {error}") from error
            return [result for text in texts for result in _search(client, [text], top)]
        except DeadlineExceeded as error:
            raise DeadlineExceeded(
                f"{error}: a model that reads every pair takes longer, give it more by --timeout"
            ) from error
        except ServerUnavailable:
            if (wait := next(waits, None)) is None:
                raise
            time.sleep(wait)
