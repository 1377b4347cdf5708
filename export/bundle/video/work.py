"""The processor time that one video takes, held against its limit while it is spent."""

from __future__ import annotations

import time
from collections.abc import Callable

from .limits import VideoLimits

# Pixels a second below which a video counts as slow. One core decodes H.264, HEVC, VP9 and AV1 at 100 million or more,
# JPEG 2000 at about 10.
PACE = 40e6
# What a slow one has of the limit, as a divisor.
SLOW_SHARE = 4
# Before that a start-up, or the first large frame, would be taken for the pace of the whole.
_JUDGED_AFTER_S = 3.0
# Seconds between two looks, or this share of the limit: to ask for a thread's time is a system call, which on some
# machines, or with others waiting, takes longer than a frame.
_LOOK_S, _LOOK_SHARE = 0.1, 0.01


class Work:
    """Counts the seconds that this thread spends on one video, from now on.

    A video is refused when it has taken ``limits.max_work``, when it has fallen behind ``PACE`` by a quarter of that,
    and as soon as its pace tells that it will.

    Args:
        limits: the limit, and the words of the refusal.
        renew: called with the seconds that may still pass until the next ``spend``, for whoever watches from outside.
    """

    def __init__(self, limits: VideoLimits, renew: Callable[[float], None] | None = None) -> None:
        self.limits = limits
        self._renew = renew
        self._uncounted = 0
        self.restart()

    def restart(self) -> None:
        """Count anew: for the next part of a film."""
        limits = self.limits
        self._slow = limits.max_work / SLOW_SHARE
        self._every = min(_LOOK_S, _LOOK_SHARE * limits.max_work)
        self._started = self._last = self._planned_at = time.thread_time()
        self._behind = 0.0
        self._pixels = self._planned = self._uncounted = 0
        self._look()

    @property
    def spent(self) -> float:
        """Seconds, up to the last look at the time."""
        return self._last - self._started

    def plan(self, pixels: int) -> None:
        """Tell how many pixels are going to be decoded from here on."""
        self._look()
        self._planned_at, self._pixels, self._planned = self._last, 0, pixels

    def spend(self, pixels: int = 0) -> None:
        """Count what was spent since the last call, in which ``pixels`` were decoded.

        Raises:
            InvalidVideo: more work than the limit, or more to come.
        """
        self._uncounted += pixels
        # A thread's time is never ahead of the clock.
        if time.monotonic() - self._looked >= self._every:
            self._look()

    def _look(self) -> None:
        self._looked = time.monotonic()
        now, pixels, self._uncounted = time.thread_time(), self._uncounted, 0
        self._behind = max(0.0, self._behind + now - self._last - pixels / PACE)
        self._last = now
        self._pixels += pixels
        spent = self.spent
        if spent > self.limits.max_work:
            self.limits.refuse_work(
                f"the video has taken {spent:.0f} s of work, {self._allowed(slow=False)}", 2 * spent
            )
        if self._behind > self._slow:
            told = f"the video has taken {spent:.0f} s of work, {self._allowed(slow=True)}"
            self.limits.refuse_work(told, 2 * SLOW_SHARE * spent)
        self._judge(now)
        if self._renew is not None:
            self._renew(min(self.limits.max_work - spent, self._slow - self._behind))

    def _judge(self, now: float) -> None:
        seconds = now - self._planned_at
        if seconds < _JUDGED_AFTER_S or not 0 < self._pixels < self._planned:
            return
        expected = self._planned_at - self._started + seconds * self._planned / self._pixels
        slow = self._pixels < PACE * seconds
        if expected > (self._slow if slow else self.limits.max_work):
            told = f"the video would take about {expected:.0f} s of work, {self._allowed(slow)}"
            self.limits.refuse_work(told, 1.5 * expected * (SLOW_SHARE if slow else 1))

    def _allowed(self, slow: bool) -> str:
        if slow:
            return f"the limit is {self._slow:g} s for a video slower than {PACE / 1e6:.0f} megapixels a second"
        return f"the limit is {self.limits.max_work:g} s"
