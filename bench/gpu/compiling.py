"""Kernels compiled by several processes at once, before anything is timed: a variant that can't start is named."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context

from .variants import Variant, taking

# Two tiles of every kernel, and some videos that fill no tile.
_VIDEOS = 37


def compiled(variants: Sequence[Variant], processes: int, seconds: float) -> Iterator[tuple[Variant, str]]:
    """Every variant as it has run on a small gallery, and why it did not, if so.

    A kernel that ends its process takes no other with it: what was not ready is tried again by itself.
    """
    waiting = list(variants)
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        running = {pool.submit(_start, variant): variant for variant in waiting}
        try:
            for done in as_completed(running, timeout=seconds):
                waiting.remove(running[done])
                try:
                    yield running[done], done.result()
                except Exception as error:
                    yield running[done], f"{type(error).__name__}: {error}"[:400]
        except TimeoutError:
            for variant in waiting:
                yield variant, f"not compiled within {seconds:.0f} s"
            for process in list((pool._processes or {}).values()):
                process.kill()


def _start(variant: Variant) -> str:
    import torch

    from .gallery import gallery
    from .scoring import Asked

    case = gallery(_VIDEOS, variant.storage, torch.device("cuda"), raw=1)
    asked = Asked.of(case, variant.queries)
    with taking(variant):
        asked.scores()
        asked.search()
    torch.cuda.synchronize()
    return ""
