"""MP4 files taken apart into boxes and put together again, with other boxes, in another order."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

SAMPLES = 20_000_000
"""How many frames the files in ``BOMBS`` announce, none of which they hold."""

_PARENTS = frozenset(b"moov trak mdia minf dinf stbl edts mvex moof traf udta".split())


@dataclass
class Box:
    """One box: its type, and either its body or the boxes in it."""

    kind: bytes
    body: bytes = b""
    children: list[Box] = field(default_factory=list)

    def find(self, *path: bytes) -> Box:
        """The first box below this one on a path of types."""
        if not path:
            return self
        return next(child for child in self.children if child.kind == path[0]).find(*path[1:])

    def every(self, kind: bytes) -> Iterator[Box]:
        """All boxes of a type below this one."""
        for child in self.children:
            if child.kind == kind:
                yield child
            yield from child.every(kind)

    def to_bytes(self) -> bytes:
        """The box as it stands in a file."""
        body = self.body + b"".join(child.to_bytes() for child in self.children)
        return box(self.kind, body)


def box(kind: bytes, body: bytes = b"", *, long: bool = False) -> bytes:
    """A box, its length in 32 bits or in 64."""
    if long:
        return struct.pack(">I4sQ", 1, kind, 16 + len(body)) + body
    return struct.pack(">I4s", 8 + len(body), kind) + body


def full_box(kind: bytes, body: bytes, flags: int = 0) -> bytes:
    """A box of version 0 with flags."""
    return box(kind, struct.pack(">I", flags) + body)


def parse(raw: bytes) -> list[Box]:
    """The boxes of a file, or of a box's body."""
    found, place = [], 0
    while place < len(raw):
        length, kind = struct.unpack_from(">I4s", raw, place)
        body = raw[place + 8 : place + length]
        found.append(Box(kind, children=parse(body)) if kind in _PARENTS else Box(kind, body))
        place += length
    return found


def assemble(parts: list[Box | bytes], original: bytes) -> bytes:
    """A file of boxes, and of bytes that stand between them, whose sample tables still find the samples.

    ``parts`` holds the ``mdat`` of ``original``, of which there is one, unchanged.
    """
    before = original.index(b"mdat")
    for _ in range(2):
        raw = b"".join(part if isinstance(part, bytes) else part.to_bytes() for part in parts)
        moved = raw.rindex(b"mdat" + original[before + 4 : before + 40]) - before
        before += moved
        for part in parts:
            if isinstance(part, Box):
                for table in part.every(b"stco"):
                    offsets = struct.unpack(f">{len(table.body) // 4}I", table.body)
                    table.body = struct.pack(f">{len(offsets)}I", *offsets[:2], *(o + moved for o in offsets[2:]))
        original = raw
    return raw


def lying_tables(samples: int) -> dict[bytes, bytes]:
    """Sample tables of a video that announce ``samples`` frames and hold none."""
    entry = box(b"mp4v", bytes(6) + struct.pack(">H", 1) + bytes(16) + struct.pack(">HH", 64, 64) + bytes(50))
    return {
        b"stsd": full_box(b"stsd", struct.pack(">I", 1) + entry),
        b"stts": full_box(b"stts", struct.pack(">III", 1, samples, 1)),
        b"stsc": full_box(b"stsc", struct.pack(">IIII", 1, 1, samples, 1)),
        b"stco": full_box(b"stco", struct.pack(">II", 1, 32)),
        b"stsz": full_box(b"stsz", struct.pack(">II", 1, samples)),
    }


def lying_track(tables: bytes) -> bytes:
    """A video track with these sample tables."""
    media = full_box(b"mdhd", struct.pack(">IIIIHH", 0, 0, 1000, 1000, 0x55C4, 0))
    handler = full_box(b"hdlr", bytes(4) + b"vide" + bytes(12) + b"v\0")
    information = box(b"minf", full_box(b"vmhd", bytes(8), 1) + box(b"stbl", tables))
    header = full_box(b"tkhd", struct.pack(">IIIII", 0, 0, 1, 0, 1000) + bytes(60), 3)
    return box(b"trak", header + box(b"mdia", media + handler + information))


def lying_file(track: bytes, *, first: bytes = b"", before_index: bytes = b"", index: bytes = b"moov") -> bytes:
    """A file of one track whose samples are not there, with boxes in front of it and in front of its index."""
    movie = full_box(b"mvhd", struct.pack(">IIII", 0, 0, 1000, 1000) + bytes(80))
    return first + box(b"ftyp", b"isom\0\0\2\0isomiso2") + before_index + box(index, movie + track)


def edited(samples: int, edits: int) -> bytes:
    """An index of few samples, all of which are shown again and again."""
    track = Box(b"trak", children=parse(lying_track(b"".join(lying_tables(samples).values()))[8:]))
    edit = struct.pack(">IIHH", samples, 0, 1, 0)
    track.children.insert(1, Box(b"edts", children=parse(full_box(b"elst", struct.pack(">I", edits) + edit * edits))))
    return lying_file(track.to_bytes())


def _tables(*names: bytes) -> bytes:
    tables = lying_tables(SAMPLES)
    return b"".join(tables[name] for name in names or tables)


_STSZ = _tables(b"stsz")
_OTHERS = _tables(b"stsd", b"stts", b"stsc", b"stco")


def in_description(tables: dict[bytes, bytes]) -> bytes:
    """The table of sizes stands inside of the sample description."""
    entry = tables[b"stsd"][16:] + tables[b"stsz"]
    entry = struct.pack(">I", len(entry)) + entry[4:]
    return full_box(b"stsd", struct.pack(">I", 1) + entry) + tables[b"stts"] + tables[b"stsc"] + tables[b"stco"]


def behind_description(tables: dict[bytes, bytes]) -> bytes:
    """The description's entry reaches beyond its box, and a box of the entry into the middle of free space."""
    others = tables[b"stts"] + tables[b"stsc"] + tables[b"stco"]
    entry = tables[b"stsd"][16:] + struct.pack(">I4s", 8 + len(others) + 8, b"abcd")
    entry = struct.pack(">I", len(entry) + len(others) + 8 + len(tables[b"stsz"])) + entry[4:]
    return full_box(b"stsd", struct.pack(">I", 1) + entry) + others + box(b"free", tables[b"stsz"])


BOMBS = {
    "plain": lying_file(lying_track(_tables())),
    "an unknown box first": lying_file(lying_track(_tables()), first=box(b"junk")),
    "a preview first": lying_file(lying_track(_tables()), first=box(b"pict", bytes(100))),
    "an unknown box before the index": lying_file(lying_track(_tables()), before_index=box(b"abcd")),
    "an unknown box after a fragment": lying_file(lying_track(_tables()), before_index=box(b"moof") + box(b"abcd")),
    "index in free space": lying_file(lying_track(_tables()), index=b"free"),
    "index under another name": lying_file(lying_track(_tables()), index=b"hoov"),
    "in the sample description": lying_file(lying_track(in_description(lying_tables(SAMPLES)))),
    "behind the sample description": lying_file(lying_track(behind_description(lying_tables(SAMPLES)))),
    **{
        f"in {kind.decode()}": lying_file(lying_track(_OTHERS + box(kind, _STSZ)))
        for kind in b"dinf tref wave sinf ilst schi udta edts mvex traf stbl minf mdia".split()
    },
    "in meta": lying_file(lying_track(_OTHERS + box(b"meta", bytes(4) + full_box(b"hdlr", bytes(20)) + _STSZ))),
    "in nested boxes": lying_file(lying_track(_OTHERS + box(b"udta", box(b"sinf", box(b"schi", _STSZ))))),
    "in a box of 64 bits": lying_file(lying_track(_OTHERS + box(b"dinf", _STSZ, long=True))),
    "compact sizes": lying_file(lying_track(_OTHERS + _STSZ.replace(b"stsz", b"stz2"))),
}
