"""Video files made wrong in many ways, the same ways for the same seed."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Iterator, Sequence

_EXTREMES = (
    0,
    1,
    7,
    8,
    0x7F,
    0xFF,
    0x7FFF,
    0xFFFF,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFFFFE,
    0xFFFFFFFF,
    1_000_001,
    20_000_000,
)
# Names by which a file's parts are found, in whatever container.
_MARKS = (
    *(b"moov", b"trak", b"tkhd", b"mdhd", b"hdlr", b"stbl", b"stsd", b"avcC", b"hvcC", b"stts", b"ctts", b"stss"),
    *(b"stsc", b"stsz", b"stco", b"elst", b"mdat", b"mvhd", b"moof", b"traf", b"tfhd", b"trun", b"sidx", b"ftyp"),
    *(b"RIFF", b"LIST", b"avih", b"strh", b"strf", b"idx1", b"movi", b"FLV\1", b"onMetaData", b"GIF89a"),
    *(b"\x1a\x45\xdf\xa3", b"\x16\x54\xae\x6b", b"\x1f\x43\xb6\x75", b"\x1c\x53\xbb\x6b", b"\x00\x00\x01\xba"),
    *(b"\x00\x00\x01\xe0", b"\x00\x00\x00\x01", b"\x47\x40", b"V_MPEG", b"V_VP"),
)

Mutation = Callable[[bytearray, random.Random], None]


def mutants(files: Sequence[bytes], count: int, seed: int = 0) -> Iterator[tuple[str, bytes]]:
    """``count`` wrong files, each with a name by which it can be made again.

    Args:
        files: right ones; each mutant is made of one of them, a few of two.
    """
    for number in range(count):
        chance = random.Random(f"{seed} {number}")
        place = number % len(files)
        raw = bytearray(files[place])
        names = []
        for mutation in chance.choices(MUTATIONS, weights=WEIGHTS, k=chance.choice((1, 1, 1, 2, 3))):
            mutation(raw, chance)
            names.append(mutation.__name__.strip("_"))
        if chance.random() < 0.05:
            other = chance.choice(files)
            cut = chance.randrange(len(other))
            raw += other[cut:]
            names.append("joined")
        yield f"seed {seed}, number {number}, file {place}: {', '.join(names)}", bytes(raw)


def _flipped(raw: bytearray, chance: random.Random) -> None:
    for _ in range(chance.choice((1, 2, 8, 64, 500))):
        if raw:
            raw[chance.randrange(len(raw))] ^= 1 << chance.randrange(8)


def _flipped_in_front(raw: bytearray, chance: random.Random) -> None:
    for _ in range(chance.choice((1, 2, 8, 32))):
        if raw:
            raw[chance.randrange(min(len(raw), 2000))] = chance.randrange(256)


def _flipped_near_a_mark(raw: bytearray, chance: random.Random) -> None:
    start = _marked(raw, chance)
    for _ in range(chance.choice((1, 2, 6))):
        if start < len(raw):
            raw[chance.randrange(start, min(len(raw), start + 60))] = chance.randrange(256)


def _number_set(raw: bytearray, chance: random.Random) -> None:
    """A number of 4 bytes near a mark becomes an extreme one."""
    place = _marked(raw, chance) + chance.choice((-4, 4, 8, 12, 16, 20, 24))
    if 0 <= place <= len(raw) - 4:
        struct.pack_into(">I", raw, place, chance.choice((*_EXTREMES, chance.randrange(1 << 32))))


def _renamed(raw: bytearray, chance: random.Random) -> None:
    place, name = _marked(raw, chance), chance.choice(_MARKS)
    raw[place : place + len(name)] = name


def _truncated(raw: bytearray, chance: random.Random) -> None:
    del raw[chance.randrange(len(raw) + 1) :]


def _front_cut_off(raw: bytearray, chance: random.Random) -> None:
    del raw[: chance.randrange(min(len(raw), 4000) + 1)]


def _cut_out(raw: bytearray, chance: random.Random) -> None:
    start = chance.randrange(len(raw) + 1)
    del raw[start : start + chance.choice((1, 4, 188, 1000, 20_000))]


def _repeated(raw: bytearray, chance: random.Random) -> None:
    start = chance.randrange(len(raw) + 1)
    raw[start:start] = raw[start : start + chance.choice((8, 188, 2000))] * chance.choice((1, 3, 50))


def _filled(raw: bytearray, chance: random.Random) -> None:
    start, length = chance.randrange(len(raw) + 1), chance.choice((16, 500, 5000))
    stop = min(len(raw), start + length)
    raw[start:stop] = chance.choice((bytes(stop - start), b"\xff" * (stop - start), chance.randbytes(stop - start)))


def _marked(raw: bytearray, chance: random.Random) -> int:
    """Where one of the file's marks stands, 0 if it has none."""
    places = [place for mark in _MARKS if (place := raw.find(mark)) >= 0]
    return chance.choice(places) if places else 0


MUTATIONS: Sequence[Mutation] = (
    _flipped,
    _flipped_in_front,
    _flipped_near_a_mark,
    _number_set,
    _renamed,
    _truncated,
    _front_cut_off,
    _cut_out,
    _repeated,
    _filled,
)
WEIGHTS = (4, 4, 6, 8, 3, 2, 1, 2, 2, 2)
