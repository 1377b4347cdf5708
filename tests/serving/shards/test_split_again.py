"""More shards: a split beside those that are served, brought up to date, and served in their place."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from framesift.export.bundle.manifest import Manifest
from framesift.export.bundle.ports import SCORER, TEXT_EMBEDDING
from framesift.export.bundle.segments import Segment
from framesift.serving.gallery.rows import GalleryEntry
from framesift.serving.gallery.split import divide, sources_of

from ..toy_scorer import DIM, scorer_graph
from .beside import Kept, beside, listed, over_shards, pages

MakeEntry = Callable[..., GalleryEntry]


def _text(seed: int = 0) -> dict[str, np.ndarray]:
    values = np.random.default_rng(seed).standard_normal((1, DIM), dtype=np.float32)
    return {TEXT_EMBEDDING: values / np.linalg.norm(values)}


def _shown(kept: Kept) -> list[object]:
    kept.wait(_text())
    found = [kept.found(_text(seed), 50, facts=True) for seed in range(3)]
    return [found, pages(kept, _text(4), 4, lambda: None), listed(kept, 5), listed(kept, 7, "n > 4")]


def _film(make_entry: MakeEntry, id_: str, total: int) -> list[GalleryEntry]:
    digest = make_entry(id_).digest
    return [make_entry(id_, seed=n, digest=digest, segment=Segment(n, total, n, n + 1)) for n in range(total)]


@pytest.mark.slow
def test_three_shards_become_five_while_they_are_served(
    manifest: Manifest, make_entry: MakeEntry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {f"{SCORER}.onnx": scorer_graph().SerializeToString()}
    with beside(tmp_path, manifest, files, 3, monkeypatch) as (alone, together, _):
        for kept in (alone, together):
            # What comes in one batch has no order over shards.
            for n in range(20):
                kept.add([make_entry(f"film {n}", metadata=json.dumps({"n": n}))])
            kept.add(_film(make_entry, "cut", 3))
        divide(sources_of(tmp_path / "shards"), tmp_path / "five", 5, lambda rows: None)
        # Those that are served are searched and written as before.
        for kept in (alone, together):
            kept.add([make_entry("new", metadata='{"n": 30}')])
            kept.add([make_entry("film 3", seed=5)])
            kept.add(_film(make_entry, "cut", 4))
            kept.change({"film 7": {"delete": True}})
        assert _shown(together) == _shown(alone)
        done = divide(sources_of(tmp_path / "shards"), tmp_path / "five", 5, lambda rows: None)
        assert (done.copied, done.removed) == (6, 5)
        again = divide(sources_of(tmp_path / "shards"), tmp_path / "five", 5, lambda rows: None)
        assert (again.copied, again.removed, sum(again.counts)) == (0, 0, 21)
        with over_shards(tmp_path / "five", tmp_path / "version", manifest, 5, monkeypatch) as (five, _):
            assert _shown(five) == _shown(alone)
            for kept in (alone, five):
                kept.add([make_entry("later")])
                kept.add([make_entry("film 11", seed=3)])
                kept.change({"new": {"delete": True}})
            assert _shown(five) == _shown(alone)
