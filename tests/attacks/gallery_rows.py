"""Rows of a gallery whose every byte follows from their id and a number, so that a torn one is seen."""

from __future__ import annotations

import hashlib

import numpy as np

from framesift.export.bundle.manifest import Manifest
from framesift.export.bundle.ports import DIGEST, DURATION, METADATA, TIMESTAMPS
from framesift.serving.gallery.rows import GalleryEntry, Row, column
from framesift.serving.gallery.schema import GallerySchema
from framesift.serving.gallery.store import Gallery

from ..serving.toy_ports import toy_manifest

FRAMES, SIZE, WIDTH = 3, 32, 64


def manifest() -> Manifest:
    """Of the small model whose records these are."""
    return toy_manifest(FRAMES, SIZE, WIDTH)


def entry(id_: str, number: int, schema: GallerySchema) -> GalleryEntry:
    """The ``number``th version of a video."""
    values = np.random.default_rng([number, *id_.encode()])
    return GalleryEntry(
        id=id_,
        tensors={spec.name: _vectors(values, spec.shape) for spec in schema.record},
        timestamps=np.arange(FRAMES) + number,
        duration=float(number),
        digest=hashlib.sha256(f"{id_} {number}".encode()).digest(),
        metadata=f'{{"number": {number}}}',
    )


def _vectors(values: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Unit vectors, as the gallery asks for."""
    drawn = values.standard_normal(shape, dtype=np.float32)
    return drawn / np.linalg.norm(drawn, axis=-1, keepdims=True)


def numbers(gallery: Gallery) -> tuple[dict[str, int], list[str]]:
    """The number of every video in a gallery by id, and what is wrong with those that are torn or there twice."""
    found: dict[str, int] = {}
    wrong = []
    names = [spec.name for spec in gallery.schema.record]
    for batch in gallery.reader().batches([DIGEST, DURATION, METADATA, TIMESTAMPS, *names], -1):
        stored = {spec.name: column(batch, spec.name, spec.shape) for spec in gallery.schema.record}
        times = column(batch, TIMESTAMPS, (FRAMES,))
        facts = zip(*(batch.column(name).to_pylist() for name in ("id", DURATION, DIGEST, METADATA)), strict=True)
        for place, (id_, duration, digest, metadata) in enumerate(facts):
            want = Row.of(entry(id_, int(duration), gallery.schema), gallery.schema)
            same = all(np.array_equal(stored[name][place], want.tensors[name]) for name in names)
            same &= np.array_equal(times[place], want.timestamps)
            if not same or (digest, metadata) != (want.entry.digest, want.entry.metadata):
                wrong.append(f"{id_} is torn")
            if id_ in found:
                wrong.append(f"{id_} is there twice")
            found[id_] = int(duration)
    return found, wrong
