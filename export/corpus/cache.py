"""Decoded frames of a whole corpus, made once and read as one memory-mapped array."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from queue import SimpleQueue

import numpy as np

from ..bundle.errors import InvalidVideo
from ..bundle.manifest import FrameProfile
from ..bundle.video.resizing import Pixels
from ..bundle.video.sandbox import Sandbox
from .manifest import Clip


@dataclass(frozen=True)
class DecodedCorpus:
    """The clips that could be decoded, their frames [N, F, 3, S, S], and the reason for each that could not."""

    clips: list[Clip]
    frames: Pixels
    bad: list[str]


def decoded(
    clips: Sequence[Clip], profile: FrameProfile, folder: Path, done: Callable[[int], object] = int
) -> DecodedCorpus:
    """Decode every clip, or find the result of an earlier call in ``folder``.

    A change of any file's size or time, or of the profile, makes a new cache.

    Args:
        done: called with the number of clips finished since the last call.

    Raises:
        InvalidVideo: not one clip can be decoded.
    """
    key = _key(clips, profile)
    array, notes = folder / f"{key}.npy", folder / f"{key}.json"
    if not (array.is_file() and notes.is_file()):
        folder.mkdir(parents=True, exist_ok=True)
        _decode_all(clips, profile, array, notes, done)
    else:
        done(len(clips))
    faults: dict[str, str] = json.loads(notes.read_text(encoding="utf-8"))
    frames = np.load(array, mmap_mode="r")
    if len(faults) == len(clips):
        raise InvalidVideo("no clip of the corpus can be decoded; the first: " + next(iter(faults.values())))
    if not faults:
        return DecodedCorpus(list(clips), frames, [])
    good = [i for i in range(len(clips)) if str(i) not in faults]
    return DecodedCorpus([clips[i] for i in good], frames[good], list(faults.values()))


def _decode_all(
    clips: Sequence[Clip], profile: FrameProfile, array: Path, notes: Path, done: Callable[[int], object]
) -> None:
    part = array.with_suffix(f".{os.getpid()}.part")
    shape = (len(clips), profile.count, 3, profile.size, profile.size)
    frames = np.lib.format.open_memmap(part, mode="w+", dtype=profile.dtype, shape=shape)
    faults: dict[str, str] = {}
    try:
        with _Decoders(profile) as decoders:
            for i, result in enumerate(decoders.decode([clip.video for clip in clips])):
                if isinstance(result, str):
                    faults[str(i)] = f"{clips[i].video}: {result}"
                else:
                    frames[i] = result
                done(1)
        frames.flush()
        notes.write_text(json.dumps(faults), encoding="utf-8")
        part.replace(array)
    finally:
        part.unlink(missing_ok=True)


class _Decoders:
    """As many sandboxes as there are processors, each with a thread that waits for it."""

    def __init__(self, profile: FrameProfile) -> None:
        self._profile = profile
        count = os.cpu_count() or 1
        self._threads = ThreadPoolExecutor(count, thread_name_prefix="decode")
        self._sandboxes = [Sandbox() for _ in range(count)]
        self._idle: SimpleQueue[Sandbox] = SimpleQueue()
        for sandbox in self._sandboxes:
            self._idle.put(sandbox)

    def __enter__(self) -> _Decoders:
        return self

    def __exit__(self, *_: object) -> None:
        self._threads.shutdown(cancel_futures=True)
        for sandbox in self._sandboxes:
            sandbox.close()

    def decode(self, paths: Sequence[Path]) -> Iterator[Pixels | str]:
        """The frames of each video in turn, or the reason why it has none."""
        return self._threads.map(self._one, paths)

    def _one(self, path: Path) -> Pixels | str:
        sandbox = self._idle.get()
        try:
            return sandbox.decode(path, self._profile).frames
        except InvalidVideo as error:
            return str(error)
        finally:
            self._idle.put(sandbox)


def _key(clips: Sequence[Clip], profile: FrameProfile) -> str:
    digest = hashlib.sha256(json.dumps(asdict(profile), sort_keys=True).encode())
    for clip in clips:
        stat = clip.video.stat()
        digest.update(f"{clip.video.resolve()}\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:20]
