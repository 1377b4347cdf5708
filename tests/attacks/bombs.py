"""Small videos that would take gigabytes, or minutes, of a decoder that believed them."""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import partial
from pathlib import Path

import av

from ..bundle.clips import KINDS, clip_writer, jpeg2000_writer
from ..bundle.mp4_files import BOMBS, Box, full_box, lying_file, lying_tables, lying_track, parse

_LARGE = {"count": 1, "size": (4096, 2304), "options": {"preset": "ultrafast", "crf": "51"}}


def bombs(folder: Path) -> dict[str, Callable[[], bytes]]:
    """What makes every kind of bomb, by its name; ``folder`` is for what is written on the way."""
    made: dict[str, Callable[[], bytes]] = {
        f"20 million samples announced, {name}": lambda video=video: video for name, video in BOMBS.items()
    }
    made["an edit list that shows 900,000 samples 5,000 times"] = lambda: _edited(900_000, 5_000)
    for suffix, count in ((".mp4", 120), (".mkv", 120), (".ts", 120), (".avi", 90)):
        made[f"{count} streams of large frames, {suffix}"] = partial(_streams, folder, suffix, count)
    for suffix in (".mkv", ".avi", ".mov"):
        made[f"JPEG 2000, {suffix}"] = partial(_slow, folder, suffix)
    return made


def right_videos(folder: Path) -> list[bytes]:
    """One of every kind of file, to be mutated."""
    write = clip_writer(folder)
    return [write(30, **options).read_bytes() for options in KINDS.values()]


def _edited(samples: int, edits: int) -> bytes:
    track = Box(b"trak", children=parse(lying_track(b"".join(lying_tables(samples).values()))[8:]))
    edit = struct.pack(">IIHH", samples, 0, 1, 0)
    track.children.insert(1, Box(b"edts", children=parse(full_box(b"elst", struct.pack(">I", edits) + edit * edits))))
    return lying_file(track.to_bytes())


def _streams(folder: Path, suffix: str, count: int) -> bytes:
    clip = clip_writer(folder)(suffix=suffix, **_LARGE)
    path = folder / f"streams{suffix}"
    with av.open(str(clip)) as container, av.open(str(path), "w") as out:
        copies = [out.add_stream_from_template(container.streams.video[0]) for _ in range(count)]
        (picture,) = (bytes(packet) for packet in container.demux(video=0) if packet.size)
        for copy in copies:
            packet = av.Packet(picture)
            packet.stream, packet.pts, packet.dts, packet.is_keyframe = copy, 0, 0, True
            out.mux(packet)
    return path.read_bytes()


def _slow(folder: Path, suffix: str) -> bytes:
    return jpeg2000_writer(folder)((2048, 1152), 12, suffix=suffix).read_bytes()
