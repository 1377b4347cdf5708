"""A coarse stage and 8-bit storage in shards: each shard has its own, and answers tell what all of them promise."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from framesift.__main__ import main
from framesift.export.bundle.errors import GalleryError
from framesift.export.bundle.ports import EXACT, RECALL, RESCORED, SCORER, SCORES
from framesift.export.bundle.storage_names import Storage
from framesift.export.bundle.storages import stored
from framesift.export.bundle.store import Bundle
from framesift.serving.backends.gallery_search import GallerySearch
from framesift.serving.calibration_texts import text_records
from framesift.serving.gallery.calibration import Calibration
from framesift.serving.gallery.shards import shard_folders
from framesift.serving.gallery.split import divide, sources_of

from ..coarse_gallery import fill, phrases
from .beside import Kept, beside, one, request

pytestmark = [pytest.mark.slow]
SHARDS = 3
_CALIBRATED = 10


@pytest.fixture(scope="module")
def galleries(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One gallery, and the same in shards, each calibrated."""
    folder = tmp_path_factory.mktemp("coarse")
    fill(bundle, folder / "one")
    divide(sources_of(folder / "one"), folder / "shards", SHARDS, lambda rows: None)
    (folder / "queries.txt").write_text("\n".join(phrases(60)))
    for name in ("one", "shards"):
        asked = ["gallery", "calibrate", str(folder / name), "--bundle", str(bundle.root), "--recall", "0.8"]
        done = CliRunner().invoke(main, [*asked, "--texts", str(folder / "queries.txt")])
        assert done.exit_code == 0, done.output
    return folder


@pytest.fixture(params=["float16", "int8"])
def both(
    request: pytest.FixtureRequest, galleries: Path, bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Kept, Kept]]:
    storage: Storage = request.param
    for name in ("one", "shards"):
        (tmp_path / name).symlink_to(galleries / name)
    manifest = stored(bundle.manifest, storage, coarse=True)
    files = {f"{SCORER}.onnx": bundle.graph(SCORER).read_bytes()}
    with beside(tmp_path, manifest, files, SHARDS, monkeypatch) as (alone, together, _):
        yield alone, together


def test_an_answer_tells_the_least_of_what_shards_promise(
    both: tuple[Kept, Kept], galleries: Path, bundle: Bundle
) -> None:
    alone, together = both
    calibrations = [Calibration.read(each) for each in shard_folders(galleries / "shards")]
    recalls = [each.recall for each in calibrations if each is not None]
    assert len(recalls) == SHARDS
    text = text_records(bundle, phrases(80)[-12:])
    answer = one(together.search.run([request(text, _CALIBRATED)]))
    assert not answer[EXACT].any()
    assert answer[RECALL] == pytest.approx(np.full((12, 1), min(recalls), np.float32))
    count = sum(each.candidates for each in calibrations if each is not None)
    assert (answer[RESCORED] <= count).all()
    assert (answer[RESCORED] >= _CALIBRATED).all()
    exact = one(alone.search.run([request(text, 1000)]))
    # Candidates are scored text by text, which rounds otherwise than a batch.
    apart = np.abs(exact[SCORES][:, None] - answer[SCORES][..., None]).min(axis=-1)
    assert apart.max() < 1e-5
    assert np.mean(answer[SCORES] >= exact[SCORES][:, _CALIBRATED - 1 : _CALIBRATED] - 1e-5) > 0.7


def test_what_was_not_calibrated_is_searched_exactly(both: tuple[Kept, Kept], bundle: Bundle) -> None:
    alone, together = both
    text = text_records(bundle, phrases(80)[-3:])
    for options in ({}, {"facts": True, "where": "duration > 0"}):
        assert together.found(text, 100, **options) == alone.found(text, 100, **options)
    answer = one(together.search.run([request(text, 100)]))
    assert answer[EXACT].all()
    assert (answer[RECALL] == 1).all()


def test_shards_that_were_not_calibrated_are_refused(
    bundle: Bundle, galleries: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    divide(sources_of(galleries / "one"), tmp_path / "two", 2, lambda rows: None)
    (tmp_path / "manifest.json").write_text(stored(bundle.manifest, "float16", coarse=True).to_json())
    (tmp_path / f"{SCORER}.onnx").write_bytes(bundle.graph(SCORER).read_bytes())
    monkeypatch.setenv("FRAMESIFT_GALLERY", str(tmp_path / "two" / "shard-0"))
    with pytest.raises(GalleryError, match="never calibrated"):
        GallerySearch().setup({}, tmp_path)
