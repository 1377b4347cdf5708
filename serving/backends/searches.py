"""A search's request and its answer, as tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from ...export.bundle.errors import InvalidRequest
from ...export.bundle.packing import unpack_joined
from ...export.bundle.ports import (
    CANDIDATE_LENGTHS,
    CANDIDATES,
)
from ..search.options import Options
from ..search.paging import Page


class Asked(NamedTuple):
    """A search: its tensors, how many places of the ranking it takes, and which of them it shows."""

    request: Mapping[str, np.ndarray[Any, Any]]
    top: int
    page: Page | None = None
    options: Options | None = None

    @property
    def where(self) -> str:
        """Its filter."""
        return "" if self.options is None else self.options.where

    @property
    def apart(self) -> bool:
        """Whether each segment of a film is a hit of its own."""
        return self.options is not None and self.options.segments

    @property
    def after(self) -> str:
        """Its cursor."""
        return "" if self.options is None else self.options.after


def candidates(request: Mapping[str, np.ndarray[Any, Any]]) -> list[str]:
    """The ids that a request names, the same for all its texts; empty where it searches the whole gallery.

    Raises:
        InvalidRequest: ids that can't be read, or other ones for each text.
    """
    if CANDIDATES not in request or not request[CANDIDATE_LENGTHS].any():
        return []
    joined, lengths = request[CANDIDATES], request[CANDIDATE_LENGTHS]
    if (joined != joined[:1]).any() or (lengths != lengths[:1]).any():
        raise InvalidRequest("all texts of a request must have the same candidates")
    return unpack_joined(joined[0], lengths[0], CANDIDATES)
