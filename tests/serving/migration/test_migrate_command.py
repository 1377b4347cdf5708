"""``framesift gallery migrate``: real films and feature files, by the processes that index."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result

from framesift.__main__ import main
from framesift.export.build import eager_system
from framesift.export.bundle.features.tensors_file import write_tensors
from framesift.export.bundle.manifest import Manifest
from framesift.export.bundle.store import Bundle
from framesift.serving.gallery.rows import GalleryEntry
from framesift.serving.gallery.store import Gallery

from ...small_systems import small_bundle
from ..indexing.records import records

Old = Callable[[dict[str, Path]], Path]


def _migrate(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["gallery", "migrate", *map(str, arguments), "--jobs", "1"])


@pytest.fixture
def old(tmp_path: Path, manifest: Manifest, make_entry: Callable[..., GalleryEntry]) -> Old:
    """A gallery of another model, with the files of these ids as they are now."""

    def make(files: dict[str, Path]) -> Path:
        entries = [
            make_entry(
                id_,
                digest=hashlib.sha256(path.read_bytes()).digest(),
                source=str(path),
                metadata=json.dumps({"n": place}),
            )
            for place, (id_, path) in enumerate(files.items())
        ]
        with Gallery.open(tmp_path / "old", manifest) as gallery:
            gallery.add(entries)
        return tmp_path / "old"

    return make


@pytest.mark.slow
def test_films_are_made_as_they_are_indexed(bundle: Bundle, old: Old, clips: list, tmp_path: Path) -> None:
    films = tmp_path / "films"
    films.mkdir()
    for clip in clips[:4]:
        (films / clip.video.name).write_bytes(clip.video.read_bytes())
    paths = {path.name: path for path in sorted(films.iterdir())}
    gallery, new = old(paths), tmp_path / "new"
    bad = next(iter(paths.values()))
    content = bad.read_bytes()
    bad.write_bytes(content + b"more")
    first = _migrate(gallery, new, "--bundle", bundle.root)
    assert first.exit_code == 1, first.output
    assert f"has 3 videos of the 4 of {gallery}, without 1 video that can't be made again" in first.stderr
    (line,) = map(json.loads, (tmp_path / "new.failures.jsonl").read_text().splitlines())
    assert (line["path"], line["id"], line["metadata"]) == (str(bad), bad.name, {"n": 0})
    assert "has changed" in line["reason"]
    bad.write_bytes(content)
    again = _migrate(gallery, new, "--bundle", bundle.root)
    assert again.exit_code == 0, again.output
    assert f"1 video of {gallery} to be made again" in again.stderr
    assert not (tmp_path / "new.failures.jsonl").exists()
    # Nothing is left to do, so no process was started.
    last = _migrate(gallery, new, "--bundle", bundle.root)
    assert (last.exit_code, "processes" in last.stderr) == (0, False)
    options = ["--bundle", str(bundle.root), "--gallery", str(tmp_path / "indexed"), "--jobs", "1", "--no-cache"]
    assert CliRunner().invoke(main, ["index", str(films), *options]).exit_code == 0
    indexed, made = records(tmp_path / "indexed"), records(new)
    assert {id_: json.loads(one.pop("metadata")) for id_, one in made.items()} == {
        id_: {"n": place} for place, id_ in enumerate(paths)
    }
    assert made == {
        id_: {key: value for key, value in one.items() if key != "metadata"} for id_, one in indexed.items()
    }


@pytest.mark.slow
def test_feature_files_too(bundles: Path, old: Old, tmp_path: Path) -> None:
    bundle = small_bundle("howto100m", bundles)
    generator = torch.Generator().manual_seed(5)
    system = eager_system(bundle)
    paths = {f"v{place}": tmp_path / f"v{place}.safetensors" for place in range(3)}
    for path in paths.values():
        path.write_bytes(write_tensors(dict(system.random_arrays(generator))))
    new = tmp_path / "new"
    done = _migrate(old(paths), new, "--bundle", bundle.root)
    assert done.exit_code == 0, done.output
    found = records(new)
    assert found.keys() == paths.keys()
    assert {one["source"] for one in found.values()} == set(map(str, paths.values()))


def test_what_can_not_be_is_refused_before_anything_is_made(
    bundle: Bundle, old: Old, clips: list, tmp_path: Path
) -> None:
    gallery = old({"a": clips[0].video})
    assert _migrate(gallery, tmp_path / "new", "--bundle", bundle.root, "--to", "next").exit_code == 2
    absent = _migrate(tmp_path / "none", tmp_path / "new", "--bundle", bundle.root)
    assert absent.output.startswith("Error: there is no gallery in")
    away = _migrate(gallery, tmp_path / "new", "--bundle", bundle.root, "--alias", "a", "--server", "127.0.0.1:9")
    assert "Error: no answer from 127.0.0.1:9" in away.output
    same = _migrate(tmp_path / "new", tmp_path / "newer", "--bundle", bundle.root)
    assert "was made by the model of" in same.output
    assert not (tmp_path / "newer").exists()
