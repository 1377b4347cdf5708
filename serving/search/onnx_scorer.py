"""Scores of texts and videos by the exported scorer graph."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ...export.bundle.errors import BundleError
from ...export.bundle.ports import ATTENTION, SCORES
from ...export.bundle.sessions import cpu_session

Tensors = Mapping[str, npt.NDArray[Any]]
Floats = npt.NDArray[np.float32]


class Scorer(Protocol):
    """Anything that scores Q texts against V videos.

    Attributes:
        attends: whether it returns a weight for each frame.
    """

    @property
    def attends(self) -> bool: ...

    def score(self, text: Tensors, records: Tensors) -> tuple[Floats, Floats | None]:
        """Scores float32 [Q, V], and attention float32 [Q, V, F] where it ``attends``.

        ``text`` maps the text record's tensors to float32 [Q, ...], ``records`` the video record's to float16 [V, ...].
        """
        ...


class OnnxScorer:
    """The bundle's scorer graph on ONNX Runtime's CPU provider."""

    def __init__(self, path: Path, threads: int) -> None:
        """Load the graph; ``threads`` run one operator.

        Raises:
            BundleError: not a graph that ONNX Runtime can load, or not a scorer.
        """
        try:
            self._session = cpu_session(path, threads)
        except Exception as error:
            raise BundleError(f"the scorer {path} can't be loaded: {error}") from error
        self._inputs = [port.name for port in self._session.get_inputs()]
        found = [port.name for port in self._session.get_outputs()]
        self.attends = ATTENTION in found
        self._outputs = [SCORES, ATTENTION] if self.attends else [SCORES]
        if set(found) != set(self._outputs):
            raise BundleError(f"the scorer {path} returns {found}, it must return {SCORES} and may return {ATTENTION}")

    def score(self, text: Tensors, records: Tensors) -> tuple[Floats, Floats | None]:
        """As ``Scorer.score``; the records are widened to float32 here."""
        given = {**text, **records}
        feeds = {name: np.ascontiguousarray(given[name], np.float32) for name in self._inputs}
        scores, *attention = self._session.run(self._outputs, feeds)
        return scores, attention[0] if self.attends else None
