"""Decoding in a process of its own, so that a file hurts nothing but the process that reads it.

What the limits allow is held against that process from outside. The kernel refuses it memory beyond ``max_memory``, and
ends it when it spends processor time without giving account of it; another then takes its place.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from ..errors import ServerUnavailable
from ..manifest import FrameProfile
from .decoded_video import DecodedVideo
from .decoder_process import DecoderProcess, ProcessGone
from .limits import DEFAULT_LIMITS, VideoLimits
from .part import Part
from .passed import Content
from .profile import check_profile
from .shots_found import Shots

Found = TypeVar("Found")


class Sandbox:
    """Decodes one video after another, each within its limits, in a process that it keeps.

    It may be shared by threads, which then wait for one another.
    """

    def __init__(self, limits: VideoLimits = DEFAULT_LIMITS) -> None:
        self.limits = limits
        self._process: DecoderProcess | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pid(self) -> int | None:
        """The process that decodes, None where there is none yet."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Start the process, and wait until it is ready for the first video.

        Raises:
            ServerStartError: it doesn't start.
        """
        with self._lock:
            self._started().wait()

    def close(self) -> None:
        """End the process; another video would start a new one."""
        with self._lock:
            if self._process is not None:
                self._process.close()
            self._process = None

    def decode(self, source: Content, profile: FrameProfile, part: Part | None = None) -> DecodedVideo:
        """Decode the frames that ``profile`` chooses from a video, as ``decode.decode`` does, or of a part of it.

        Args:
            source: the file's content, or its path.
            part: as ``Film.decode`` takes it. The film stays open for others until its last, or another video.

        Raises:
            InvalidVideo: as ``decode.decode``; or the video took too much memory or work, or crashed its process.
            BundleError: a profile that ``check_profile`` refuses.
            ServerUnavailable: the machine is too busy to decode it in any reasonable time.
            ServerStartError: the process doesn't start.
        """
        check_profile(profile)
        with self._lock:
            with suppress(ProcessGone):
                return self._decode(source, profile, part)
            # A machine that wants for memory ends idle decoders first.
            try:
                return self._decode(source, profile, part)
            except ProcessGone as error:
                raise ServerUnavailable("this machine ends the decoder again and again: try again later") from error

    def shots(self, source: Content, share: float) -> Shots:
        """Find where the shots of a film begin, as ``shots.find_shots`` does.

        Raises:
            InvalidVideo, ServerUnavailable, ServerStartError: as ``decode``.
        """
        with self._lock:
            try:
                return self._run(lambda process: process.shots(source, share))
            except ProcessGone as error:
                raise ServerUnavailable("this machine ends the decoder: try again later") from error

    def _decode(self, source: Content, profile: FrameProfile, part: Part | None) -> DecodedVideo:
        return self._run(lambda process: process.decode(source, profile, part))

    def _run(self, call: Callable[[DecoderProcess], Found]) -> Found:
        process = self._started()
        try:
            return call(process)
        finally:
            if not process.reusable:
                process.close()
                # It gets ready while nobody waits for it yet.
                self._process = DecoderProcess(self.limits)

    def _started(self) -> DecoderProcess:
        if self._process is None:
            self._process = DecoderProcess(self.limits)
        return self._process
