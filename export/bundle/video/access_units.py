"""What a compressed picture says of itself: whether decoding can start at it, whether others refer to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from av.packet import Packet
from av.video.stream import VideoStream

_INTRA = frozenset(
    (
        *("mjpeg", "prores", "dnxhd", "jpeg2000", "png", "cfhd", "dvvideo", "hap"),
        *("rawvideo", "v210", "huffyuv", "ffvhuff", "utvideo", "magicyuv"),
    )
)
_RECOVERY_POINT = 6


@dataclass(frozen=True, slots=True)
class AccessUnit:
    """One packet's picture.

    Attributes:
        entry: decoding can start at it, and gives every picture that is shown at it or later. A container's keyframe
            flag is not enough for H.264 and HEVC: it also marks pictures where a gradual refresh starts.
        start: where nothing came before, FFmpeg starts to show pictures at it or a little later.
        disposable: no other picture refers to it.
        leading: it comes after an entry, is shown before it and refers to what came before that: an HEVC RASL picture.
        severed: what came before is not there, so pictures that lead it can't be shown: an HEVC BLA picture.
        last: the sequence ends with it, at which FFmpeg may drop pictures that it hasn't shown yet.
        sets: the parameter sets that it carries.
        complete: these are all that it and what follows need.
    """

    entry: bool
    start: bool = False
    disposable: bool = False
    leading: bool = False
    severed: bool = False
    last: bool = False
    sets: tuple[bytes, ...] = ()
    complete: bool = False


Reader = Callable[["Packet[VideoStream]"], AccessUnit]


def is_intra(codec: str) -> bool:
    """Whether every picture of a codec stands for itself, one in a packet."""
    return codec in _INTRA


def reader(codec: str, extradata: bytes | None) -> Reader | None:
    """How to read a codec's packets; None unless each packet shows one picture and its framing is known."""
    head = extradata or b""
    if is_intra(codec):
        return lambda packet: AccessUnit(entry=True, start=True, disposable=True)
    if codec in ("vp9", "av1"):
        return lambda packet: AccessUnit(entry=packet.is_keyframe, start=True)
    if codec not in _NAL_CODECS:
        return None
    unit, width_at = _NAL_CODECS[codec]
    if len(head) > width_at + 1 and head[0] == 1:
        width = 1 + (head[width_at] & 3)
        return lambda packet: unit(_after_lengths(memoryview(packet), width))
    if head.startswith((b"\0\0\1", b"\0\0\0\1")):
        return lambda packet: unit(_after_start_codes(bytes(packet)))
    return None


def _after_lengths(data: memoryview, width: int) -> Iterator[memoryview]:
    place = 0
    while place + width < len(data):
        start = place + width
        place = start + int.from_bytes(data[place:start], "big")
        if place > start:
            yield data[start:place]


def _after_start_codes(raw: bytes) -> Iterator[memoryview]:
    start = raw.find(b"\0\0\1") + 3
    while start >= 3:
        after = raw.find(b"\0\0\1", start)
        unit = raw[start:] if after < 0 else raw[start:after].rstrip(b"\0")
        if unit:
            yield memoryview(unit)
        start = after + 3 if after >= 0 else 0


def _h264(units: Iterator[memoryview]) -> AccessUnit:
    sets: list[bytes] = []
    recovery = b""
    for unit in units:
        kind = unit[0] & 31
        if kind in (7, 8):
            sets.append(bytes(unit))
        elif kind == 6:
            recovery = recovery or _recovery_point(bytes(unit[1:]))
        elif 1 <= kind <= 5:
            # What a picture's first slice says of the picture holds for all of its slices.
            intra = _is_intra(unit)
            # A recovery point starts with recovery_frame_cnt, of which 0 is written as one set bit, and
            # exact_match_flag.
            entry = kind == 5 or recovery[:1] >= b"\xc0" or (intra and recovery[:1] >= b"\x80")
            return AccessUnit(
                entry=entry,
                start=entry or intra or bool(recovery),
                disposable=not unit[0] >> 5 & 3 and not sets,
                sets=tuple(sets),
                complete=len({one[0] & 31 for one in sets}) == 2,
            )
    return AccessUnit(entry=False, sets=tuple(sets))


def _hevc(units: Iterator[memoryview]) -> AccessUnit:
    sets: list[bytes] = []
    picture, last = -1, False
    for unit in units:
        kind = unit[0] >> 1 & 63
        if 32 <= kind <= 34:
            sets.append(bytes(unit))
        elif kind < 32 and picture < 0:
            picture = kind
        last = last or kind in (36, 37)
    return AccessUnit(
        # BLA, IDR and CRA pictures.
        entry=16 <= picture <= 21,
        start=16 <= picture <= 23,
        leading=picture in (8, 9),
        severed=16 <= picture <= 18,
        last=last,
        sets=tuple(sets),
        complete=len({one[0] for one in sets}) == 3,
    )


def _is_intra(unit: memoryview) -> bool:
    """Whether an H.264 slice is the first of its picture and an I slice: codes 2 and 7 of its type."""
    return len(unit) > 1 and (unit[1] >> 4 == 0b1011 or unit[1] == 0b1000_1000)


def _recovery_point(message: bytes) -> bytes:
    """The recovery point of an H.264 SEI unit (D.1.8), empty if it has none."""
    data = message.replace(b"\0\0\3", b"\0\0")
    place = 0
    while place + 2 < len(data):
        kind, place = _extended(data, place)
        length, place = _extended(data, place)
        if kind == _RECOVERY_POINT:
            return data[place : place + length]
        place += length
    return b""


def _extended(data: bytes, place: int) -> tuple[int, int]:
    """A number written as bytes that are added up, as long as they are 255; and the place after it."""
    value = 0
    while place < len(data):
        value, place = value + data[place], place + 1
        if data[place - 1] != 255:
            break
    return value, place


_NAL_CODECS = {"h264": (_h264, 4), "hevc": (_hevc, 21)}
"""How to read a picture's NAL units, and where the codec's configuration has the width of their lengths."""
