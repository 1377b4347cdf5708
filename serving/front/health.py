"""Whether searches are answered: what ``ready`` says is seen, not assumed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from ...export.bundle.errors import FramesiftError
from ..backends.heartbeat import Heartbeat
from .background import Background
from .public import Public
from .status import Restarting
from .supervision import Supervision
from .upstream import Upstream

_LOG = logging.getLogger(__name__)
_LOOK_S = 0.25
# A server that hangs says nothing, which is no yes.
_ANSWER_S = 1.0
# Without an answer to anybody for so long, the door searches itself; and so long it waits for that.
_QUIET_S = 1.0
_PATIENCE_S = 5.0


class Health:
    """Looks every quarter of a second, after a second at most where Triton server is silent.

    Args:
        search: the model by which the server is judged.
        probe: runs one search.
        supervision: what the keeper and the watchdog say.
        patience_s: how long a search may take.
    """

    def __init__(
        self,
        search: Public,
        probe: Callable[[], Awaitable[object]],
        upstream: Upstream,
        supervision: Supervision,
        patience_s: float = 0.0,
    ) -> None:
        self._patience_s = max(_PATIENCE_S, patience_s)
        self._search, self._probe, self._upstream, self._supervision = search, probe, upstream, supervision
        self._background = Background()
        self._answered = float("-inf")
        self._probing: asyncio.Task[None] | None = None
        # By model: when Triton server was asked last whether it is ready, and what it says.
        self._asked: dict[str, tuple[float, asyncio.Task[bool]]] = {}
        self._heartbeat = Heartbeat(thread=False)
        self.ready = False

    def answered(self) -> None:
        """A search was answered just now."""
        self._answered = asyncio.get_running_loop().time()

    async def model_ready(self, public: Public) -> bool:
        """Whether a model can be called: it is loaded, and its processes run.

        Anybody may ask, so Triton server is asked for all of them together.
        """
        if not self._whole(public.steps):
            return False
        now = asyncio.get_running_loop().time()
        since, asked = self._asked.get(public.name, (float("-inf"), None))
        if asked is None or now - since > _LOOK_S:
            asked = self._background.start(self._says_ready(public.upstream))
            self._asked[public.name] = now, asked
        return await asyncio.shield(asked)

    def start(self) -> None:
        """Begin to look, and to show that the event loop turns."""
        self._background.start(self._beat())
        self._background.start(self._watch())

    async def stop(self) -> None:
        """Stop looking."""
        await self._background.stop()

    async def _beat(self) -> None:
        while True:
            self._heartbeat.stamp()
            await asyncio.sleep(_LOOK_S)

    async def _watch(self) -> None:
        while True:
            try:
                ready = await self._look()
            except Exception:
                _LOG.exception("looking after the server's health failed")
                ready = False
            if ready != self.ready:
                _LOG.warning("searches are answered" if ready else "searches are not answered")
            self.ready = ready
            await asyncio.sleep(_LOOK_S)

    async def _look(self) -> bool:
        if self._supervision.stopping or not self._whole(self._search.steps):
            return False
        if not await self._says_ready():
            return False
        silent_s = asyncio.get_running_loop().time() - self._answered
        if silent_s > _QUIET_S and self._probing is None:
            self._probing = self._background.start(self._try())
            # At the start, and after an outage, its outcome is worth waiting for.
            await asyncio.wait([self._probing], timeout=_QUIET_S)
        return asyncio.get_running_loop().time() - self._answered < self._patience_s

    async def _try(self) -> None:
        try:
            await self._probe()
            self.answered()
        except (FramesiftError, Restarting):
            pass
        finally:
            self._probing = None

    async def _says_ready(self, model: str | None = None) -> bool:
        try:
            return await asyncio.wait_for(self._upstream.ready(model), _ANSWER_S)
        except TimeoutError:
            return False

    def _whole(self, steps: Sequence[str]) -> bool:
        return not self._supervision.short & set(steps)
