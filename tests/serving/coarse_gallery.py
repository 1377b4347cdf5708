"""A gallery that allows a coarse stage: a few films of noise, as the demo's model encodes them, under many ids."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from framesift.export.bundle.ports import FRAMES, VIDEO_ENCODER
from framesift.export.bundle.sessions import cpu_session
from framesift.export.bundle.store import Bundle
from framesift.serving.gallery.rows import GalleryEntry
from framesift.serving.gallery.store import Gallery

FILMS, COPIES = 24, 150
WORDS = ("red", "blue", "green", "circle", "square", "star", "moves", "left", "right", "small", "large", "then")


def phrases(count: int) -> list[str]:
    """Different texts of words that the demo's model knows."""
    rng = np.random.default_rng(4)
    return [" ".join(rng.permutation(WORDS)[:4]) for _ in range(count)]


def fill(bundle: Bundle, folder: Path) -> int:
    """Put the films into the gallery in ``folder``; every copy has a phrase for a title. Returns their number."""
    rng, session = np.random.default_rng(1), cpu_session(bundle.graph(VIDEO_ENCODER), 2)
    names = [port.name for port in session.get_outputs()]
    shape = bundle.manifest.graphs[VIDEO_ENCODER].inputs[0].shape[1:]
    with Gallery.open(folder, bundle.manifest) as gallery:
        tensors = []
        for _ in range(FILMS):
            still = rng.integers(0, 256, (1, *shape[1:]))
            frames = np.clip(still + rng.integers(-40, 40, shape), 0, 255).astype(np.uint8)
            made = session.run(names, {FRAMES: frames[None]})
            tensors.append({name: values[0] for name, values in zip(names, made, strict=True)})
        titles = phrases(FILMS * COPIES)
        times = np.zeros(gallery.schema.frames, np.float32)
        gallery.add(
            [
                GalleryEntry(
                    f"v{n}", tensors[n % FILMS], times, 1.0, rng.bytes(32), metadata=json.dumps({"title": titles[n]})
                )
                for n in range(FILMS * COPIES)
            ]
        )
        return gallery.count
