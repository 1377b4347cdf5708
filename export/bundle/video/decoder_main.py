"""The process in which a sandbox decodes, seen from inside: what it may take, and one video after another."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import json
import os
import resource
import select
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from io import FileIO
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt

from ..cut_request import CutRequest
from ..errors import InvalidVideo
from ..manifest import FrameProfile
from ..own_memory import own_bytes
from ..segments import Cutting
from .decode import decode
from .decoded_video import DecodedVideo
from .decoder_process import MESSAGE_BYTES, OUT_OF_MEMORY
from .file_piece import FilePiece
from .film import Film
from .limits import VideoLimits
from .part import Part
from .pieces import pieces
from .shots import find_shots
from .work import Work

# Open files beside the video: FFmpeg opens none.
_FILES = 64
# What a process may still hold of the last video when it is given the next one.
_LEFT_BYTES = 64 << 20
# Of the memory that a video may take, what a film may hold while it waits for the next part to be asked for.
_OPEN_SHARE = 2
_ENDED = {"reusable": False}
# From this share of its memory on, a video that can't be decoded is one that needs more.
_FULL = 0.9
_PEAK = Path("/proc/self/clear_refs")


def main() -> None:
    """Decode the videos that come over the channel; what is needed is in the arguments."""
    channel, result = socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2])
    threading.Thread(target=_end_with, args=(channel,), daemon=True).start()
    try:
        worker = _Worker(VideoLimits(**json.loads(sys.argv[3])), result)
        channel.send(str(worker.held).encode())
        while True:
            message, files, _, _ = socket.recv_fds(channel, MESSAGE_BYTES, 1)
            if not message:
                break
            asked = json.loads(message)
            channel.send(json.dumps(worker.reply(asked, files[0] if files else None)).encode())
    except MemoryError:
        # Whatever would tidy up now might want memory too.
        os._exit(OUT_OF_MEMORY)


class _Worker:
    """What decodes. ``held`` is what the process holds while it is idle, in bytes."""

    def __init__(self, limits: VideoLimits, result: int) -> None:
        self._limits, self._result = limits, result
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_NOFILE, (_FILES, _FILES))
        self._idle = own_bytes("VmData")
        self.held = own_bytes("VmRSS")
        most = self._idle + limits.max_memory
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))
        # If the machine runs out of memory, this process is the one to end.
        with contextlib.suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
        self._until = 0
        self._film: tuple[str, Film, Work] | None = None
        self._pieces: Iterator[FilePiece] = iter(())

    def reply(self, asked: Mapping[str, Any], file: int | None) -> dict[str, Any]:
        """Do what is asked with a video: arrays and files go into the shared result, what else there is is returned.

        Args:
            file: None where more is asked for of the film that is open.
        """
        if "pieces" in asked:
            return self._within(lambda: self._piece(asked["pieces"], file))
        if "shots" in asked:
            return self._within(lambda: self._shots(asked["shots"], file))
        part = None if asked["part"] is None else Part.parse(asked["part"])
        return self._within(lambda: self._decoded(FrameProfile(**asked["profile"]), part, file))

    def _shots(self, share: float, file: int | None) -> dict[str, Any]:
        self._close()
        assert file is not None
        with open(file, "rb", buffering=0) as source:
            shots = find_shots(source, share, Work(self._limits, self._renew))
        starts = np.array(shots.starts, np.float64)
        os.pwritev(self._result, [starts.data], 0)
        return {"count": len(starts), "duration": shots.duration, "reusable": self._tidy()}

    def _piece(self, asked: Mapping[str, Any] | None, file: int | None) -> dict[str, Any]:
        """The next piece of a film, and at first its first one; ``asked`` says how it is cut."""
        if asked is not None:
            self._close()
            assert file is not None
            cuts = np.frombuffer(os.pread(self._result, 8 * int(asked["cuts"]), 0), np.float64).tolist()
            cutting, work = Cutting.parse(asked["cutting"]), Work(self._limits, self._renew)
            self._pieces = pieces(FileIO(file), cutting, asked["draft"], asked["most"], cuts, work)
        piece = next(self._pieces, None)
        if piece is None:
            return {"size": 0, "reusable": self._tidy()}
        cut = piece.parts[0].cutting
        assert cut is not None
        told = CutRequest(cut, piece.parts).json().encode()
        os.pwritev(self._result, [piece.data, told], 0)
        return {"size": len(piece.data), "told": len(told), "reusable": True}

    def _within(self, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """What some work returns, or how it failed."""
        with contextlib.suppress(OSError):
            _PEAK.write_text("5", encoding="ascii")
        try:
            return work()
        except InvalidVideo as error:
            self._close()
            return {"refused": self._cause(error), "reusable": self._tidy()}
        except MemoryError:
            raise
        except (LookupError, ValueError, ArithmeticError, av.FFmpegError) as error:
            # Whoever sent the file can do no more about it than about any other damage; the log has the whole.
            traceback.print_exc()
            return {"refused": f"the video is damaged in an unforeseen way ({error!r:.200}): leave it out", **_ENDED}
        except Exception:
            return {"defect": traceback.format_exc(), **_ENDED}

    def _decoded(self, profile: FrameProfile, part: Part | None, file: int | None) -> dict[str, Any]:
        if file is not None:
            self._close()
        if part is not None:
            video = self._part(profile, part, file)
        else:
            assert file is not None
            with open(file, "rb", buffering=0) as source:
                video = decode(source, profile, self._limits, Work(self._limits, self._renew))
        arrays: tuple[npt.NDArray[Any], ...] = video.frames, video.timestamps, video.mask
        place = 0
        for array in arrays:
            place += os.pwritev(self._result, [array.data], place)
        told = {"duration": video.duration, "frame_count": video.frame_count, "shape": video.frames.shape}
        told["segment"] = video.segment
        if video.segment.number + 1 == video.segment.total:
            self._close()
        del video, arrays
        if self._film is not None and self._tidy(self._limits.max_memory // _OPEN_SHARE):
            return {**told, "reusable": True, "open": self._film[0]}
        self._close()
        return {**told, "reusable": self._tidy()}

    def _part(self, profile: FrameProfile, part: Part, file: int | None) -> DecodedVideo:
        if self._film is None or self._film[0] != part.key:
            assert file is not None
            work = Work(self._limits, self._renew)
            self._film = part.key, Film(FileIO(file), work), work
        _, film, work = self._film
        work.restart()
        return film.decode(profile, part)

    def _close(self) -> None:
        """Close the film that is open, if one is."""
        self._pieces = iter(())
        if self._film is not None:
            self._film[1].close()
        self._film = None

    def _cause(self, error: InvalidVideo) -> str:
        """What an error says; or that memory ran out, which much of FFmpeg reports as damage to the file."""
        if own_bytes("VmHWM") - self.held < _FULL * self._limits.max_memory:
            return str(error)
        try:
            self._limits.refuse_memory()
        except InvalidVideo as cause:
            return str(cause)

    def _renew(self, seconds: float) -> None:
        """Let the kernel end this process unless it gives account of itself in time."""
        until = int(time.process_time() + max(0.0, seconds)) + 1
        if until != self._until:
            self._until = until
            resource.setrlimit(resource.RLIMIT_CPU, (until, resource.RLIM_INFINITY))

    def _tidy(self, left: int = _LEFT_BYTES) -> bool:
        """Give back what the last video took; returns whether no more than ``left`` bytes of it are left."""
        if own_bytes("VmData") - self._idle > _LEFT_BYTES // 4:
            gc.collect()
            with contextlib.suppress(OSError, AttributeError):
                ctypes.CDLL(None).malloc_trim(0)
        return own_bytes("VmData") - self._idle < left


def _end_with(channel: socket.socket) -> None:
    """End this process when the one that started it ends."""
    watch = select.poll()
    watch.register(channel, 0)
    watch.poll()
    os._exit(0)
