"""Decoding in a process of its own, so that a file hurts nothing but the process that reads it.

What the limits allow is held against that process from outside. The kernel refuses it memory beyond ``max_memory``, and
ends it when it spends processor time without giving account of it; another then takes its place.
"""

from __future__ import annotations

import threading
from contextlib import suppress

from ..errors import ServerUnavailable
from ..manifest import FrameProfile
from .decoded_video import DecodedVideo
from .decoder_process import Content, DecoderProcess, ProcessGone
from .limits import DEFAULT_LIMITS, VideoLimits
from .profile import check_profile


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

    def decode(self, source: Content, profile: FrameProfile) -> DecodedVideo:
        """Decode the frames that ``profile`` chooses from a video, as ``decode.decode`` does.

        Args:
            source: the file's content, or its path.

        Raises:
            InvalidVideo: as ``decode.decode``; or the video took too much memory or work, or crashed its process.
            BundleError: a profile that ``check_profile`` refuses.
            ServerUnavailable: the machine is too busy to decode it in any reasonable time.
            ServerStartError: the process doesn't start.
        """
        check_profile(profile)
        with self._lock:
            with suppress(ProcessGone):
                return self._decode(source, profile)
            # A machine that wants for memory ends idle decoders first.
            try:
                return self._decode(source, profile)
            except ProcessGone as error:
                raise ServerUnavailable("this machine ends the decoder again and again: try again later") from error

    def _decode(self, source: Content, profile: FrameProfile) -> DecodedVideo:
        process = self._started()
        try:
            return process.decode(source, profile)
        finally:
            if not process.reusable:
                process.close()
                # It gets ready while nobody waits for it yet.
                self._process = DecoderProcess(self.limits)

    def _started(self) -> DecoderProcess:
        if self._process is None:
            self._process = DecoderProcess(self.limits)
        return self._process
