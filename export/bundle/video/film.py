"""A film that is open while parts of it are decoded."""

from __future__ import annotations

from contextlib import ExitStack

from ..manifest import FrameProfile
from .container import open_video
from .decode import Decoder
from .decoded_video import DecodedVideo
from .packet_index import read_index
from .part import Part
from .profile import check_profile
from .seconds import Seconds
from .source import Source
from .work import Work


class Film:
    """An open film, of which parts are decoded: its packets are read once, and what parts share is decoded once.

    A part goes on where the one before it stopped, or begins at the nearest entry.

    Args:
        source: the file's content, or its path.
        work: counts the time of the present part.

    Raises:
        InvalidVideo: as ``decode``.
    """

    def __init__(self, source: Source, work: Work) -> None:
        self._stack = ExitStack()
        try:
            self._video = self._stack.enter_context(open_video(source, work))
            self._index = read_index(self._video, seeks=True)
            self._context = self._video.decoder()
        except BaseException:
            self._stack.close()
            raise
        self._seconds: Seconds | None = None
        self._decoders: list[Decoder] = []

    def decode(self, profile: FrameProfile, part: Part) -> DecodedVideo:
        """Decode the frames that ``profile`` chooses of a part, exactly as they are among all of the film's.

        Where packets don't tell which frames they show, the film is decoded up to its end for every part.

        Raises:
            InvalidVideo, BundleError: as ``decode``; or there is no such part.
        """
        check_profile(profile)
        try:
            decoder = self._decoder(profile)
            found, self._seconds = decoder.decode_part(part, self._seconds)
        except MemoryError:
            self._video.work.limits.refuse_memory()
        return found

    def close(self) -> None:
        """Close the file."""
        self._stack.close()

    def _decoder(self, profile: FrameProfile) -> Decoder:
        """What decodes for a profile; the one for the last part is the first of all."""
        last = self._decoders[:1]
        found = next((one for one in self._decoders if one.profile == profile), None)
        if found is None:
            found = Decoder(self._video, self._index, profile, self._context)
        elif found not in last and found.reader is not None:
            found.reader.rewind()
        self._decoders = [found, *(one for one in self._decoders if one is not found)]
        return found
