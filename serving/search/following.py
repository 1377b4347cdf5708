"""A copy of a gallery on a device that follows the views that are searched."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from ...kernels.device.memory import NoRoom
from .view import View

_log = logging.getLogger(__name__)
# So few rows are scored by the CPU while a device reads its whole gallery.
_FEW = 1024


class Follower:
    """Knows which view a device holds, and that a gallery has outgrown it."""

    def __init__(self) -> None:
        self._followed: Sequence[str] | None = None
        # Rows that were too many.
        self._outgrown: int | None = None

    def follow(self, view: View, send: Callable[[bool], None]) -> None:
        """Have the rows sent that the device lacks; not those of a gallery that has outgrown it.

        Args:
            send: sends them, all if it is given True; raises ``NoRoom``.
        """
        if self._outgrown is not None and len(view.timestamps) >= self._outgrown:
            return
        # A new list of ids means that removed rows were dropped.
        anew = self._outgrown is not None or view.ids is not self._followed
        try:
            send(anew)
        except NoRoom as error:
            _log.error("the processor searches from now on: %s", error)
            self._outgrown = len(view.timestamps)
        else:
            self._followed, self._outgrown = view.ids, None

    def searches(self, view: View) -> bool:
        """Whether the device is to search the view that it was last told of."""
        return self._outgrown is None and (view.chosen is None or view.count > _FEW)
