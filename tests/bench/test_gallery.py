"""The measurement of a gallery, at its smallest size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from framesift.bench.gallery.beside import ERRORS
from framesift.bench.gallery.bound import VIOLATIONS
from framesift.bench.gallery.figures import COARSE_RECALL, DIFFERENT, RESCORED
from framesift.bench.gallery.measure import figures
from framesift.bench.gallery.promises import Promise, promises
from framesift.bench.gallery.records import block, manifest
from framesift.bench.gallery.replaced import DISK, SHARE
from framesift.bench.gallery.world import FILMS, Films
from framesift.serving.gallery.blocks import checked
from framesift.serving.gallery.schema import GallerySchema


@pytest.mark.parametrize("films", FILMS)
def test_its_records_are_ones_that_a_gallery_takes_and_no_two_are_the_same(films: Films) -> None:
    schema = GallerySchema.of(manifest())
    made = checked(block(films, 40, 30, schema), schema)
    again = block(films, 40, 30, schema)
    for name, values in made.tensors.items():
        np.testing.assert_array_equal(values, again.tensors[name])
        assert len({row.tobytes() for row in values}) == 30
    assert len(set(made.digests)) == 30


@pytest.mark.parametrize(("promise", "kept", "fell"), [(Promise(least=5), 5, 4.9), (Promise(most=1.1), 1.1, 1.2)])
def test_a_promise_is_kept_or_not(promise: Promise, kept: float, fell: float) -> None:
    assert promise.kept(kept)
    assert not promise.kept(fell)


@pytest.mark.slow
def test_every_figure_is_measured_and_memory_disk_and_the_bound_are_as_promised(tmp_path: Path) -> None:
    told: list[str] = []
    rows = {row.figure: row for row in figures(tmp_path / "work", 10_000, told.append, "int8", averaged=True)}
    assert rows.keys() == promises("int8", "clusters", 10_000).keys()
    assert rows[COARSE_RECALL].value > 0.9
    assert rows[RESCORED].kept
    for name in (DIFFERENT, ERRORS, VIOLATIONS):
        assert rows.pop(name).value == 0, (name, told)
    assert all(row.value > 0 for row in rows.values())
    # Those of time depend on what else the machine does.
    for name in ("memory at load, times resident and 128 MiB", DISK, SHARE):
        assert rows[name].kept, rows[name]
    assert not (tmp_path / "work").exists()
