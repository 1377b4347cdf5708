"""What a version of the table has beside an earlier one: rows that are gone, and fragments that are new."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from framesift.export.bundle.manifest import Manifest
from framesift.serving.gallery.reader import Reader
from framesift.serving.gallery.rows import GalleryEntry
from framesift.serving.gallery.store import Gallery
from framesift.serving.search.held import Held, change_of, held_by

MakeEntry = Callable[..., GalleryEntry]


def _numbers(held: dict[int, Held]) -> list[int]:
    return sorted(number for part in held.values() for number in part.numbers.tolist())


@pytest.mark.parametrize("placed", [True, False])
def test_changes_lead_from_one_version_to_any_later_one(
    folder: Path, manifest: Manifest, make_entry: MakeEntry, placed: bool
) -> None:
    chance, names = random.Random(4), [f"v{n}" for n in range(60)]
    with Gallery.open(folder, manifest) as gallery:
        gallery.add([make_entry(id_) for id_ in names])
        reader = gallery.reader()
        held = held_by(reader)
        for step in range(20):
            for _ in range(chance.randint(1, 3)):
                if chance.random() < 0.5:
                    gallery.remove(chance.sample(names, 3))
                else:
                    gallery.add([make_entry(id_, seed=step) for id_ in chance.sample(names, 5)])
            if step % 6 == 5:
                gallery.compact()
            if not placed:
                # As they come from a cache, which has no places.
                held = {number: Held(part.part, np.sort(part.numbers)) for number, part in held.items()}
            before = set(_numbers(held))
            reader.advance()
            change = change_of(reader, held)
            assert change is not None
            held, now = change.held, set(reader.sequences().tolist())
            assert set(_numbers(held)) == now
            assert set(change.gone.tolist()) == before - now
            assert now - before <= {number for part in change.new for number in held[part].numbers.tolist()}
            assert change_of(reader, held) is None


def test_nothing_is_read_of_a_fragment_that_has_lost_rows(
    folder: Path, manifest: Manifest, make_entry: MakeEntry, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Gallery.open(folder, manifest) as gallery:
        gallery.add([make_entry(f"v{n}") for n in range(9)])
        reader = gallery.reader()
        held = held_by(reader)
        gallery.remove(["v3", "v5"])
        reader.advance()

        def numbers(self: Reader, of: list[int]) -> dict[int, object]:
            assert not of
            return {}

        monkeypatch.setattr(Reader, "numbers", numbers)
        change = change_of(reader, held)
        assert change is not None
        first = min(_numbers(held))
        assert sorted(change.gone.tolist()) == [first + 3, first + 5]
        assert not change.new
