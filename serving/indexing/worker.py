"""What one worker does, wherever it runs: it reads a video, and encodes it unless the gallery has it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

from ... import __version__
from ...export.bundle.errors import (
    BundleError,
    FramesiftError,
    GalleryError,
    InvalidVideo,
    ServerStartError,
    ServerUnavailable,
)
from ...export.bundle.own_memory import own_bytes
from ...export.bundle.scratch import scratch_folder
from ...export.bundle.segments import cut_digest
from ...export.bundle.video.limits import VARIABLE, VideoLimits
from ..client.films import pieces_of
from .encoder import Encoder
from .fetch import LargeFilm, opened
from .files import open_files
from .video import Made, Reached, Video

# Whatever the next video is, it would fail alike.
_ENDS = (BundleError, GalleryError)
# A machine that has too much to do may start no decoder, or give it no time; that passes.
_BUSY, _TRIES = (ServerStartError, ServerUnavailable), 3
_PREFIX = "framesift-encoder-"

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Setting:
    """How a worker is to work.

    Attributes:
        folder: the bundle's, or any with what ``files.open_files`` reads.
        limits: those of videos, as ``VideoLimits.settings`` writes them.
        timeout_s: for one file that comes over the network.
        threads: run one operator of the graph.
        gpu: whether the graph runs on the first GPU that the worker sees.
        version: of framesift, where this was made.
    """

    folder: str
    limits: str
    timeout_s: float
    threads: int = 1
    gpu: bool = False
    version: str = field(default=__version__)


class Worker:
    """Makes rows of videos, one after another.

    Args:
        shipped: the contents of the folder's files, for a machine that does not see it.

    Raises:
        BundleError: the bundle can't be used here, or another framesift is installed here.
    """

    def __init__(self, setting: Setting, shipped: Mapping[str, bytes] | None = None) -> None:
        if setting.version != __version__:
            raise BundleError(
                f"this machine has framesift {__version__}, the one that sends videos {setting.version}: "
                "install the same on all"
            )
        os.environ[VARIABLE] = setting.limits
        self._setting = setting
        self._limits = VideoLimits.from_environment()
        with ExitStack() as stack:
            folder = Path(setting.folder)
            if shipped is not None:
                folder = stack.enter_context(scratch_folder(Path(os.environ.get("TMPDIR", "/tmp")), _PREFIX))
                for name, content in shipped.items():
                    (folder / name).write_bytes(content)
            manifest = open_files(folder)
            # Once it is open, the graph is in memory.
            gpu = 0 if setting.gpu else None
            self._encoder = _patiently(partial(Encoder, folder, manifest, threads=setting.threads, gpu=gpu))

    def make(self, video: Video, reached: Callable[[Reached], object] = lambda _: None) -> Made:
        """Read a video, and encode it unless its content is known.

        Args:
            reached: called with how far a film is that is cut.

        Raises:
            FramesiftError: what the next video would meet as well.
        """
        try:
            return _patiently(partial(self._made, video, reached))
        except _BUSY as error:
            return Made(video, reason=str(error))

    def _made(self, video: Video, reached: Callable[[Reached], object]) -> Made:
        cutting, most = video.cutting, self._limits.max_bytes
        try:
            with opened(video, most, self._setting.timeout_s) as found:
                digest = found.digest
                if _is_known(video, digest):
                    return Made(video)
                if isinstance(found, LargeFilm):
                    assert cutting is not None
                    pieces = pieces_of(found.path, digest, cutting, most, self._limits)
                    rows = self._encoder.rows_of_pieces(pieces, video.id, video.source, video.metadata, reached)
                else:
                    files = found.tensors(self._encoder.takes)
                    rows = self._encoder.rows(files, video.id, video.source, digest, video.metadata, cutting, reached)
                return Made(video, tuple(rows), file_digest=digest)
        except (*_ENDS, *_BUSY):
            raise
        except FramesiftError as error:
            return Made(video, reason=str(error))

    def peak(self) -> int:
        """The most bytes of memory that this process has held, once it is warm."""
        self._encoder.warm_up()
        return own_bytes("VmHWM")

    def close(self) -> None:
        """End the process that decodes."""
        self._encoder.close()


def _is_known(video: Video, digest: bytes) -> bool:
    """Whether the gallery has a file of this SHA-256, cut so, already.

    Raises:
        InvalidVideo: it should be another one.
    """
    if video.digest is not None and video.digest != digest:
        raise InvalidVideo(f"its SHA-256 is {digest.hex()} and should be {video.digest.hex()}: the file has changed")
    return cut_digest(digest, video.cutting) == video.known


def _patiently(call: Callable[[], Answer]) -> Answer:
    for _ in range(_TRIES - 1):
        with suppress(*_BUSY):
            return call()
    return call()
