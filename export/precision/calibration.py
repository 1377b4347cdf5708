"""Videos and captions by which a precision is calibrated and judged: the user's own, or the synthetic shapes corpus."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..bundle.errors import InvalidInput, InvalidVideo
from ..bundle.ports import FRAMES, MASK, NOISE, TOKEN_IDS, VIDEO_ENCODER
from ..bundle.store import Bundle
from ..bundle.video.noise import selector_noise
from ..bundle.video.sandbox import Sandbox
from ..corpus.generate import MANIFEST, write_corpus
from ..corpus.manifest import read_manifest
from ..evaluation.captions import load_captions

LIMIT = 200

Feeds = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, eq=False)
class CalibrationSet:
    """N videos with one caption each: caption n belongs to video n.

    ``videos`` and ``texts`` are the inputs of the encoders, a batch of one each; a video of ViT-B/32 takes 2 MB here.
    ``origin`` says where they come from.
    """

    videos: tuple[Feeds, ...]
    texts: tuple[Feeds, ...]
    origin: str


def calibration_inputs(
    bundle: Bundle,
    videos: Path | None = None,
    captions: Path | None = None,
    limit: int = LIMIT,
    *,
    report: Callable[[str], None] = lambda _: None,
) -> CalibrationSet:
    """What the bundle's encoders read of a user's videos, or of the shapes corpus where none are given.

    Args:
        videos: a folder; the names in ``captions`` are paths below it, file names, or those without suffix.
        captions: a file that ``load_captions`` reads. Of every video its first caption counts.
        limit: how many videos at most, evenly spaced over the file.
        report: called with a line for every video that is left out.

    Raises:
        InvalidInput: only one of both is given, captions whose videos are absent, or no video that can be decoded.
    """
    manifest = bundle.manifest
    if manifest.frames is None or manifest.features is not None:
        brought = "features" if manifest.film is None else "whole films"
        raise InvalidInput(
            f"{manifest.system} reads {brought}, and a calibration set is of chosen frames: leave the bundle in float32"
        )
    if limit < 1:
        raise InvalidInput(f"the limit is {limit}: calibration takes one video at least")
    if (videos is None) != (captions is None):
        raise InvalidInput("give both a folder of videos and a file of their captions, or neither")
    if videos is None or captions is None:
        pairs, origin = _shapes(limit), "shapes corpus"
    else:
        pairs, origin = _users(videos, captions, limit), f"{captions.name}"
    tokenizer = bundle.tokenizer()
    clips, texts = [], []
    with Sandbox() as sandbox:
        for path, caption in pairs:
            try:
                clips.append(_video_feeds(bundle, sandbox, path))
            except InvalidVideo as error:
                report(f"{path} is left out: {error}")
                continue
            texts.append({TOKEN_IDS: tokenizer.encode([caption])})
    if not clips:
        raise InvalidInput(f"not one of {len(pairs)} videos can be decoded")
    return CalibrationSet(tuple(clips), tuple(texts), origin)


def _video_feeds(bundle: Bundle, sandbox: Sandbox, path: Path) -> Feeds:
    """A video as the bundle's video encoder reads it: a batch of one, with mask and noise where it has such inputs."""
    clip = sandbox.decode(path, bundle.manifest.pictures)
    ports = {port.name: port for port in bundle.manifest.graphs[VIDEO_ENCODER].inputs}
    feeds: dict[str, NDArray[Any]] = {FRAMES: clip.frames[None]}
    if MASK in ports:
        feeds[MASK] = clip.mask[None]
    if NOISE in ports:
        feeds[NOISE] = selector_noise(path.name, ports[NOISE].shape[1:])[None]
    return feeds


def _users(folder: Path, file: Path, limit: int) -> list[tuple[Path, str]]:
    if not folder.is_dir():
        raise InvalidInput(f"there is no folder {folder}")
    known = load_captions(file)
    first: dict[int, str] = {}
    for target, caption in zip(known.target.tolist(), known.captions, strict=True):
        first.setdefault(target, caption)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    places = {key: path for path in reversed(files) for key in (path.stem, path.name)}
    places.update({str(path.relative_to(folder)): path for path in files})
    pairs = [(places.get(known.videos[i]), known.videos[i], caption) for i, caption in sorted(first.items())]
    found = [(path, caption) for path, _, caption in pairs if path is not None]
    absent = [name for path, name, _ in pairs if path is None]
    if not found:
        raise InvalidInput(f"{folder} has none of the {len(absent)} videos of {file}, the first is {absent[0]}")
    return _spaced(found, limit)


def _spaced(pairs: Sequence[tuple[Path, str]], limit: int) -> list[tuple[Path, str]]:
    chosen = np.linspace(0, len(pairs) - 1, min(limit, len(pairs))).round().astype(int)
    return [pairs[i] for i in chosen.tolist()]


def _shapes(count: int) -> list[tuple[Path, str]]:
    """The shapes corpus, made once a machine and user."""
    folder = Path(tempfile.gettempdir()) / f"framesift-shapes-{os.getuid()}-{count}"
    if not (folder / MANIFEST).is_file():
        scratch = Path(tempfile.mkdtemp(prefix="framesift-shapes-"))
        write_corpus(scratch, count, "test", 0)
        try:
            scratch.rename(folder)
        except OSError:
            # Another process was quicker.
            folder = folder if (folder / MANIFEST).is_file() else scratch
    return [(clip.video, clip.captions[0]) for clip in read_manifest(folder / MANIFEST)]
