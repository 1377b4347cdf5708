"""framesift's own engines in one process, without a server: what the other servers are put around."""

from __future__ import annotations

import os
from collections.abc import Sequence

import onnxruntime as ort

from ...export.bundle.ports import SCORER, TEXT_ENCODER
from ...export.bundle.scorers import scorer_of
from ...export.bundle.sessions import cpu_session
from ...export.bundle.store import Bundle
from ...serving.gallery.store import Gallery
from ...serving.search.rankers import ranker_of
from ...serving.search.ranking import Ranked
from ...serving.search.snapshot import Snapshot
from ...serving.search.view import View
from ..inputs.corpus import Corpus


class Engines:
    """Tokenizer, text encoder and ranking, as the Triton server's models have them; threads may share one."""

    def __init__(self, corpus: Corpus) -> None:
        manifest = corpus.bundle.manifest
        self.tokenizer = corpus.bundle.tokenizer()
        self._names = [port.name for port in manifest.graphs[TEXT_ENCODER].outputs]
        self._session = text_session(corpus.bundle)
        self._ranker, read = ranker_of(manifest, corpus.bundle.graph(SCORER))
        with Gallery.open(corpus.gallery, manifest, create=False) as gallery:
            self.view: View = Snapshot(gallery.reader(), read, scorer_of(manifest).lanes).view

    def search(self, texts: Sequence[str], top: int) -> list[Ranked]:
        """The ``top`` best videos of each text, in one pass over the gallery."""
        ids = self.tokenizer.encode(texts)
        record = self._session.run(self._names, {self._session.get_inputs()[0].name: ids})
        return self._ranker.rank(self.view, dict(zip(self._names, record, strict=True)), [top] * len(texts))

    def ids(self, ranked: Ranked) -> list[str]:
        """The ids of a ranking's videos, best first."""
        return [self.view.ids[row] for row in ranked.rows.tolist()]


def text_session(bundle: Bundle) -> ort.InferenceSession:
    """The bundle's text encoder, with the options under which the Triton server's backend runs it."""
    return cpu_session(bundle.graph(TEXT_ENCODER), len(os.sched_getaffinity(0)))
