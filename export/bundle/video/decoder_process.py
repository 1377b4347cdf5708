"""The process in which a sandbox decodes, seen from outside."""

from __future__ import annotations

import json
import os
import resource
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from ..errors import InvalidVideo, ServerStartError, ServerUnavailable
from ..manifest import FrameProfile
from ..segments import Cutting, Segment
from .decoded_video import DecodedVideo
from .file_piece import FilePiece
from .limits import VideoLimits
from .part import Part
from .passed import Content, layout, likeness, piece_of, shared
from .shots_found import Shots

MESSAGE_BYTES = 1 << 16
OUT_OF_MEMORY = 77
# How much longer than its processor time a video may take by the clock, on a machine that has other things to do: so
# many times as long, or so many seconds.
_PATIENCE, _SPARE_S = 1.5, 30.0
_START_S = 60.0
# From this share of its memory on, a crash is put down to the want of more.
_NEARLY = 0.75
_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    # The memory of large pictures goes back to the system at once, where the next video's may be of another size.
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": str(1 << 20),
}
_MAIN = "from framesift.export.bundle.video.decoder_main import main; main()"


class ProcessGone(Exception):
    """The process had ended before it was given the video."""


class DecoderProcess:
    """One process that decodes.

    Attributes:
        pid: its number.
        reusable: whether it can be given another video.
    """

    def __init__(self, limits: VideoLimits) -> None:
        self._limits = limits
        self.reusable = True
        self._idle: int | None = None
        # A new process inherits the peak of the one that starts it, so that below that nothing is known of its own.
        self._inherited = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
        self._peak = 0
        self._open: tuple[str | int, ...] | None = None
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._result = os.memfd_create("framesift-frames")
        passed = (theirs.fileno(), self._result)
        self._process = subprocess.Popen(
            [sys.executable, "-c", _MAIN, *map(str, passed), json.dumps(asdict(limits))],
            pass_fds=passed,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            # Modules beside whatever is worked on are none of its business.
            cwd="/",
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
                **_ENVIRONMENT,
            },
        )
        self.pid = self._process.pid
        theirs.close()

    def wait(self) -> None:
        """Wait until it has started.

        Raises:
            ServerStartError: it doesn't.
        """
        if self._idle is not None:
            return
        told = self._channel.recv(MESSAGE_BYTES) if self._readable(_START_S) else b""
        if not told:
            self._end()
            raise ServerStartError(
                f"the decoder's process did not start ({self._process.returncode}): see the log for its reason"
            )
        self._idle = int(told)

    def close(self) -> None:
        """End it."""
        self._end()
        self._channel.close()
        if self._result >= 0:
            os.close(self._result)
        self._result = -1

    def decode(self, source: Content, profile: FrameProfile, part: Part | None = None) -> DecodedVideo:
        """Decode one video, or a part of it; see ``sandbox.Sandbox.decode``.

        Raises:
            ProcessGone: something else had ended the process; another can decode the video.
        """
        asked = {"profile": asdict(profile), "part": None if part is None else part.json()}
        # A film of which it decodes further parts is there already.
        film: tuple[str | int, ...] | None = None if part is None else (part.key, *likeness(source))
        reply = self._asked(None if film is not None and film == self._open else source, asked)
        self._open = film if reply.get("open") else None
        place, (frames, times, mask) = 0, layout(profile, reply["shape"])
        for array in (frames, times, mask):
            place += os.preadv(self._result, [array.data], place)
        number, total, *times_of = reply["segment"]
        segment = Segment(int(number), int(total), *map(float, times_of))
        return DecodedVideo(frames, mask, times, float(reply["duration"]), int(reply["frame_count"]), segment)

    def shots(self, source: Content, share: float) -> Shots:
        """Find the shots of a film; see ``sandbox.Sandbox.shots``.

        Raises:
            ProcessGone: something else had ended the process.
        """
        reply = self._asked(source, {"shots": share})
        times = os.pread(self._result, 8 * int(reply["count"]), 0)
        return Shots(np.frombuffer(times, np.float64).tolist(), float(reply["duration"]))

    def pieces(
        self, source: Path, cutting: Cutting, draft: str, most: int, cuts: Sequence[float]
    ) -> Iterator[FilePiece]:
        """Cut a film into files; see ``cutting.pieces``. Nothing else is asked meanwhile.

        Raises:
            InvalidVideo: what comes is no whole film, of a process that it may have taken over.
            ProcessGone: something else had ended the process.
        """
        asked = {"cutting": cutting.json(), "draft": draft, "most": most, "cuts": len(cuts)}
        reply = self._asked(source, {"pieces": asked}, np.array(cuts, np.float64).tobytes())
        last: Segment | None = None
        while reply.get("size"):
            piece = piece_of(self._result, reply["size"], reply.get("told"), most, last)
            last = piece.parts[-1].segment
            yield piece
            reply = self._asked(None, {"pieces": None})
        if last is None or last.number + 1 < last.total:
            raise InvalidVideo("not all of the film's segments come out of it: the film is damaged, leave it out")

    def _asked(self, source: Content | None, asked: Mapping[str, Any], beside: bytes = b"") -> dict[str, Any]:
        """The reply to a request about a video, which is what is open where it is None.

        Args:
            beside: what the process finds where it leaves its result.
        """
        with nullcontext() if source is None else shared(source) as file:
            if file is not None:
                self._limits.check_bytes(os.fstat(file.fileno()).st_size)
            self.wait()
            # What the last video left goes back to the system.
            os.ftruncate(self._result, 0)
            os.pwrite(self._result, beside, 0)
            try:
                message, files = json.dumps(asked).encode(), [] if file is None else [file.fileno()]
                socket.send_fds(self._channel, [message], files)
            except OSError as error:
                self._end()
                raise ProcessGone from error
            reply = self._reply()
        self.reusable = reply["reusable"]
        self._open = None
        if "refused" in reply:
            raise InvalidVideo(reply["refused"])
        if "defect" in reply:
            raise RuntimeError(reply["defect"])
        return reply

    def _reply(self) -> dict[str, Any]:
        started, before = time.monotonic(), self._processor_time()
        work = self._limits.max_work
        if not self._readable(max(_PATIENCE * work, work + _SPARE_S)):
            spent = self._processor_time() - before
            self._end()
            if spent < work / 2:
                raise ServerUnavailable(
                    f"this machine is too busy: in {time.monotonic() - started:.0f} s the decoder got {spent:.0f} s of "
                    "processor time; try again later"
                )
            self._limits.refuse_work(f"the video has taken {spent:.0f} s of work without an end", 2 * spent)
        try:
            message = self._channel.recv(MESSAGE_BYTES)
        except ConnectionResetError as error:
            # It ended with the request unread, so the video is not to blame.
            self._end()
            raise ProcessGone from error
        if not message:
            self._explain_end()
        reply: dict[str, Any] = json.loads(message)
        return reply

    def _explain_end(self) -> NoReturn:
        """Tell why the process ended over a video."""
        status = self._end()
        if status == -signal.SIGXCPU:
            self._limits.refuse_work("the video has kept the decoder at work without an end", 2 * self._limits.max_work)
        # Few parts of FFmpeg are written with a refusal of memory in mind.
        if status in (OUT_OF_MEMORY, -signal.SIGKILL) or self._nearly_full():
            self._limits.refuse_memory()
        name = signal.Signals(-status).name if status < 0 else f"exit status {status}"
        raise InvalidVideo(f"the video crashed its decoder ({name}): it is damaged, or made to do that; leave it out")

    def _nearly_full(self) -> bool:
        """Whether the process, at its end, is known to have held nearly all that it may."""
        taken = self._peak - (self._idle or 0)
        return self._peak > self._inherited and taken > _NEARLY * self._limits.max_memory

    def _end(self) -> int:
        """End the process; returns its exit status."""
        self.reusable = False
        if self._process.returncode is None:
            # Popen.kill would collect the status itself, without the usage.
            os.kill(self.pid, signal.SIGKILL)
            _, status, usage = os.wait4(self.pid, 0)
            self._process.returncode = os.waitstatus_to_exitcode(status)
            self._peak = usage.ru_maxrss << 10
        return self._process.returncode

    def _readable(self, seconds: float) -> bool:
        channel = select.poll()
        channel.register(self._channel, select.POLLIN)
        return bool(channel.poll(1000 * seconds))

    def _processor_time(self) -> float:
        """Seconds of processor time of the process so far."""
        fields = Path("/proc", str(self.pid), "stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
