"""What a compressed picture says of itself: whether decoding can start at it, whether others refer to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from av.packet import Packet
from av.video.stream import VideoStream


@dataclass(frozen=True)
class AccessUnit:
    """One packet's picture.

    ``fresh``: nothing before it is needed to decode it and what follows it. A container's keyframe flag is not enough
    for H.264 and HEVC: it also marks pictures where a gradual refresh starts or that others before refer to.
    ``disposable``: no other picture refers to it. ``resets``: it carries parameter sets, which must not be skipped.
    """

    fresh: bool
    disposable: bool
    resets: bool


Reader = Callable[["Packet[VideoStream]"], AccessUnit]


def reader(codec: str, extradata: bytes | None) -> Reader | None:
    """How to read a codec's packets; None unless each packet shows one picture and its framing is known."""
    head = extradata or b""
    if codec in ("vp9", "av1"):
        return lambda packet: AccessUnit(packet.is_keyframe, disposable=False, resets=False)
    if codec == "h264" and len(head) > 6 and head[0] == 1:
        return lambda packet: _h264(packet, 1 + (head[4] & 3))
    if codec == "hevc" and len(head) > 22 and head[0] == 1:
        return lambda packet: _hevc(packet, 1 + (head[21] & 3))
    return None


def _h264(packet: Packet[VideoStream], prefix: int) -> AccessUnit:
    units = _unit_headers(packet, prefix)
    slices = [unit for unit in units if 1 <= unit & 31 <= 5]
    return AccessUnit(
        fresh=bool(slices) and all(unit & 31 == 5 for unit in slices),
        disposable=bool(slices) and not any(unit >> 5 & 3 for unit in slices),
        resets=any(unit & 31 in (7, 8) for unit in units),
    )


def _hevc(packet: Packet[VideoStream], prefix: int) -> AccessUnit:
    kinds = [unit >> 1 & 63 for unit in _unit_headers(packet, prefix)]
    slices = [kind for kind in kinds if kind < 32]
    return AccessUnit(
        fresh=bool(slices) and all(kind in (19, 20) for kind in slices),
        disposable=False,
        resets=any(32 <= kind <= 34 for kind in kinds),
    )


def _unit_headers(packet: Packet[VideoStream], prefix: int) -> list[int]:
    """The first byte of each NAL unit of a packet; before each stands its length in ``prefix`` bytes."""
    data = memoryview(packet)
    headers, place = [], 0
    while place + prefix < len(data):
        headers.append(data[place + prefix])
        place += prefix + int.from_bytes(data[place : place + prefix], "big")
    return headers
