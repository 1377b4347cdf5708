"""Times of packets on a clock that doesn't jump."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import numpy.typing as npt

Int64s = npt.NDArray[np.int64]

NO_TIME = int(np.iinfo(np.int64).min)
# Formats of broadcasts, discs and streams, whose clocks may start anew anywhere; and the seconds from which on a step
# forward is a jump of the clock, for these FFmpeg's own bound. Where frames are rare it takes a multiple of a step.
_RESTARTING = frozenset(("mpegts", "mpeg", "flv"))
_JUMP_S, _OTHER_JUMP_S, _JUMP_STEPS = 10, 3600, 10


def steady(pts: Int64s, dts: Int64s, base: Fraction, container: str) -> Int64s:
    """When packets are shown, with every jump of the clock closed as if it had gone on.

    Args:
        pts: when packets are shown, in the order of decoding, int64 [N]; ``NO_TIME`` where that isn't known.
        dts: when they are decoded, likewise.
        base: the seconds of one unit.
        container: the name of the container's format.
    """
    if container in _RESTARTING:
        return _segments_joined(pts, np.where(dts == NO_TIME, pts, dts), int(_JUMP_S / base))
    known = np.flatnonzero(pts != NO_TIME)
    order = known[np.argsort(pts[known], kind="stable")]
    closed = pts.copy()
    closed[order[1:]] += np.cumsum(_corrections(np.diff(pts[order]), int(_OTHER_JUMP_S / base)))
    return closed


def last_step(told: int, times: Int64s, base: Fraction, container: str) -> int:
    """How long the last packet lasts: as it says, or as packets do typically, where its end would be a jump.

    Args:
        told: what it says.
        times: as of ``steady``, which gave them.
        base: the seconds of one unit.
        container: the name of the container's format.
    """
    jump = int((_JUMP_S if container in _RESTARTING else _OTHER_JUMP_S) / base)
    steps = np.diff(np.sort(times[times != NO_TIME]))
    typical = _typical(steps, jump)
    return typical if len(steps) and told > max(jump, _JUMP_STEPS * typical) else told


def _segments_joined(pts: Int64s, decoded: Int64s, jump: int) -> Int64s:
    known = np.flatnonzero(decoded != NO_TIME)
    if len(known) == 0:
        return pts
    corrections = _corrections(np.diff(decoded[known]), jump)
    # Each packet's segment, and by how much the clock of each segment is wrong.
    segment = np.searchsorted(known[1:][corrections != 0], np.arange(len(pts)), side="right")
    offsets = np.concatenate([[0], np.cumsum(corrections[corrections != 0])])
    closed = decoded + offsets[segment]
    # A picture may be decoded before a jump and shown behind it.
    neighbours = np.stack([segment, np.minimum(segment + 1, len(offsets) - 1), np.maximum(segment - 1, 0)])
    shown = pts + offsets[neighbours]
    nearest = np.take_along_axis(shown, np.argmin(np.abs(shown - closed), axis=0)[None], axis=0)[0]
    return np.where((pts == NO_TIME) | (decoded == NO_TIME), pts, nearest)


def _corrections(steps: Int64s, jump: int) -> Int64s:
    """What to add to each step between one packet and the next: nothing, unless it is a jump or goes back."""
    typical = _typical(steps, jump)
    jumps = (steps < 0) | (steps > max(jump, _JUMP_STEPS * typical))
    return np.where(jumps, typical - steps, 0)


def _typical(steps: Int64s, jump: int) -> int:
    usual = steps[(steps > 0) & (steps <= jump)]
    if not len(usual):
        usual = np.maximum(steps, 0)
    return int(np.median(usual)) if len(usual) else 0
