"""What a video file's own structure says, read before FFmpeg reads the file.

FFmpeg trusts an MP4's sample counts: for a file of 4 kB that announces a hundred million samples it takes gigabytes.
It reads a truncated file as far as that goes, without a word. It opens a decoder for every stream there is, wanted or
not. And it tells how a video is turned only picture by picture.
"""

from __future__ import annotations

from dataclasses import dataclass, field

Matrix = tuple[int, ...]
"""A display matrix: nine integers, row by row, the third column in 2.30 and the others in 16.16 fixed point."""


@dataclass(frozen=True)
class VideoTrack:
    """A video track of an MP4, MOV, Matroska or WebM file.

    Attributes:
        matrix: how its pictures are turned and mirrored for display; None if not at all.
        encrypted: whether it can't be read without a key.
        mask: bytes by place in the file, which make FFmpeg pass over the track.
    """

    matrix: Matrix | None
    encrypted: bool
    mask: dict[int, bytes]


@dataclass(frozen=True)
class Structure:
    """What is known of a file before it is opened.

    Attributes:
        mp4: whether it is an MP4 or MOV; FFmpeg must read no other file as one.
        truncated: whether it ends before it says that it ends; known for MP4, MOV, Matroska and WebM.
        videos: its video tracks in order; empty where its container doesn't list them in front.
        mask: bytes by place in the file, which make FFmpeg pass over everything that is no video.
        still: FFmpeg's name of the format of a still image, as which alone it is read; empty of a film.
    """

    mp4: bool = False
    truncated: bool = False
    videos: tuple[VideoTrack, ...] = ()
    mask: dict[int, bytes] = field(default_factory=dict)
    still: str = ""
