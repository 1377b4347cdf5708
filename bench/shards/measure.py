"""One gallery on one server and in shards, searched by turns."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from ...export.bundle.store import Bundle
from ...serving.client.results import SearchResult
from ...serving.client.sync import Client
from ...serving.gallery.split import divide, sources_of
from ...serving.serve import running
from ...serving.shards.cluster import Cluster
from ..inputs.gallery import synthetic
from ..inputs.queries import captions
from ..percentiles import latencies
from ..schema.rows import Sharded

_TOP = 10
_WARM = 20


def measured(
    bundle: Bundle, model: str, videos: int, shards: int, searches: int, report: Callable[[str], None]
) -> Iterator[Sharded]:
    """A row for searches without facts, and one for those with them."""
    folder = Path(tempfile.mkdtemp(prefix="framesift-bench-"))
    try:
        shutil.copytree(synthetic(bundle, videos), folder / "one")
        divide(sources_of(folder / "one"), folder / "shards", shards, lambda rows: None)
        with (
            running(bundle, folder / "one", report=report) as one,
            running(bundle, folder / "shards", cluster=Cluster("local"), report=report) as all_,
            Client(one.address) as first,
            Client(all_.address) as second,
        ):
            texts = captions(searches)
            for facts in (False, True):
                yield _turns(first, second, texts, model=model, videos=videos, shards=shards, facts=facts)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def line(row: Sharded) -> str:
    """A row for a person."""
    return (
        f"{row.videos:>9,} videos {'with facts' if row.facts else 'plain':<10}  one server {row.one.p50_ms:7.2f} ms   "
        f"{row.shards} shards {row.sharded.p50_ms:7.2f} ms   {row.added_ms:+.2f} ms"
    )


def _turns(
    one: Client, sharded: Client, texts: list[str], *, model: str, videos: int, shards: int, facts: bool
) -> Sharded:
    times: tuple[list[float], list[float]] = ([], [])
    differing = 0
    for text in texts[:_WARM]:
        for client in (one, sharded):
            client.search(text, _TOP, facts=facts)
    for turn, text in enumerate(texts):
        found: dict[int, SearchResult] = {}
        # Each goes first as often as the other.
        for which in (0, 1) if turn % 2 else (1, 0):
            begun = time.perf_counter()
            found[which] = (one, sharded)[which].search(text, _TOP, facts=facts)
            times[which].append(time.perf_counter() - begun)
        differing += found[0].hits != found[1].hits
    first, second = (latencies(each) for each in times)
    assert first.p50_ms is not None
    assert second.p50_ms is not None
    return Sharded(
        model=model,
        videos=videos,
        shards=shards,
        facts=facts,
        searches=len(texts),
        one=first,
        sharded=second,
        added_ms=round(second.p50_ms - first.p50_ms, 3),
        differing=differing,
        load_1min=round(os.getloadavg()[0], 2),
    )
