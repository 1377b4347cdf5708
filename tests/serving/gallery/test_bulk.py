"""Import and export: what comes out goes in again, and nothing that does not fit."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import lance
import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner, Result
from pyarrow import parquet

from framesift.__main__ import main
from framesift.export.bundle.manifest import Manifest
from framesift.export.bundle.ports import FRAME_EMBEDDINGS, MEAN_EMBEDDING
from framesift.serving.gallery import bulk
from framesift.serving.gallery.rows import GalleryEntry
from framesift.serving.gallery.store import Gallery
from framesift.serving.gallery.verify import verify

MakeEntry = Callable[..., GalleryEntry]
NAMES = [f"v{n}.mp4" for n in range(60)]


def run(*args: object) -> Result:
    return CliRunner().invoke(main, ["gallery", *map(str, args)])


@pytest.fixture
def gallery(folder: Path, manifest: Manifest, make_entry: MakeEntry) -> Gallery:
    gallery = Gallery.open(folder, manifest)
    gallery.add([make_entry(name, source=f"/films/{name}", metadata='{"a": 1}') for name in NAMES])
    return gallery


def records(gallery: Gallery) -> dict[str, Any]:
    """Everything but what is numbered anew."""
    table = gallery.reader().table.to_table().drop_columns(["sequence", "indexed_at", "checksums"])
    return {row["id"]: row for row in table.to_pylist()}


@pytest.mark.parametrize("suffix", ["parquet", "lance"])
def test_what_was_exported_is_imported_as_it_was(gallery: Gallery, tmp_path: Path, folder: Path, suffix: str) -> None:
    out, copy = tmp_path / f"out.{suffix}", tmp_path / "copy"
    told = run("export", folder, out)
    assert told.exit_code == 0, told.output
    assert told.stdout.startswith(f"60 videos written to {out}; ")
    assert told.stdout.endswith("records a second\n")
    told = run("import", copy, out)
    assert told.exit_code == 0, told.output
    assert told.stdout.startswith("60 videos imported, 0 were there already, 60 in all; ")
    opened = Gallery.existing(copy)
    assert records(opened) == records(gallery)
    assert opened.schema == gallery.schema
    assert not verify(opened.reader())
    # Again: nothing to do. And a gallery can be given itself.
    assert "0 videos imported, 60 were there already, 60 in all" in run("import", copy, folder).stdout
    assert "is there already: name a new file" in run("export", folder, out).stderr


def _made_elsewhere(tmp_path: Path, entries: list[GalleryEntry], dtype: Any = np.float64, **more: Any) -> Path:
    """As another program would write it: lists of varying length, other floats, the columns that must be there."""
    columns: dict[str, Any] = {"id": [entry.id for entry in entries], "digest": [entry.digest for entry in entries]}
    for name in (FRAME_EMBEDDINGS, MEAN_EMBEDDING):
        rows = [entry.tensors[name].astype(dtype).ravel() for entry in entries]
        columns[name] = pa.array([row.tolist() for row in rows], pa.list_(pa.from_numpy_dtype(dtype)))
    out = tmp_path / "made.parquet"
    parquet.write_table(pa.table({**columns, **more}), out)
    return out


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_records_of_other_makers_are_rounded_as_they_are_when_they_are_indexed(
    folder: Path, tmp_path: Path, manifest: Manifest, make_entry: MakeEntry, dtype: Any
) -> None:
    entries = [make_entry(name) for name in NAMES]
    made = _made_elsewhere(tmp_path, entries, dtype)
    assert "name the model with --bundle" in run("import", folder, made).stderr
    Gallery.open(folder, manifest).close()
    assert run("import", folder, made).exit_code == 0
    with Gallery.open(tmp_path / "indexed", manifest) as indexed:
        indexed.add([replace(entry, timestamps=np.zeros(3), duration=0.0) for entry in entries])
        assert records(Gallery.existing(folder)) == records(indexed)


def test_a_lance_table_and_a_folder_of_files_are_read_too(
    folder: Path, tmp_path: Path, manifest: Manifest, make_entry: MakeEntry
) -> None:
    Gallery.open(folder, manifest).close()
    table = parquet.read_table(_made_elsewhere(tmp_path, [make_entry(name) for name in NAMES]))
    (tmp_path / "many").mkdir()
    for part in range(3):
        parquet.write_table(table.slice(20 * part, 20), tmp_path / "many" / f"{part}.parquet")
    assert "60 videos imported" in run("import", folder, tmp_path / "many").stdout
    lance.write_dataset(table, str(tmp_path / "table.lance"))
    assert "60 were there already" in run("import", folder, tmp_path / "table.lance").stdout


def test_columns_of_others_may_have_the_names_of_the_gallery_s_own(
    folder: Path, tmp_path: Path, manifest: Manifest, make_entry: MakeEntry
) -> None:
    Gallery.open(folder, manifest).close()
    entries = [make_entry(name) for name in NAMES]
    texts = [None, *["12:30"] * 59]
    theirs = dict.fromkeys(("start", "end", "sequence", "indexed_at", "checksums"), texts)
    assert "60 videos imported" in run("import", folder, _made_elsewhere(tmp_path, entries, **theirs)).stdout
    # But not some of those by which rows of one id would take one another's place.
    for names in ({"segment": [0] * 60}, {"segments": [1] * 60, "start": [0.0] * 60, "end": [1.0] * 60}):
        told = run("import", folder, _made_elsewhere(tmp_path, entries, **names))
        assert told.exit_code == 1
        assert "and not all of segment, segments, start, end" in told.stderr


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda row: {**row, "id": "a\u200bb"}, "format character"),
        (lambda row: {**row, "digest": b"short"}, "5 bytes"),
        (lambda row: {**row, FRAME_EMBEDDINGS: [2 * x for x in row[FRAME_EMBEDDINGS]]}, "is not normalised"),
        (lambda row: {**row, FRAME_EMBEDDINGS: [float("nan"), *row[FRAME_EMBEDDINGS][1:]]}, "not finite"),
        (lambda row: {**row, MEAN_EMBEDDING: [0.0] * 8}, "is all zeros"),
        (lambda row: {**row, MEAN_EMBEDDING: row[MEAN_EMBEDDING][:-1]}, "must hold 8 numbers a video"),
        (lambda row: {**row, MEAN_EMBEDDING: None}, "mean_embedding of 'v41.mp4' is missing"),
        (lambda row: {**row, "metadata": "[1]"}, "must be an object"),
        (lambda row: {**row, "duration": -1.0}, "duration"),
    ],
    ids=["id", "digest", "length", "nan", "zeros", "short", "missing", "metadata", "duration"],
)
def test_a_record_that_would_be_refused_when_indexed_is_refused(
    folder: Path, tmp_path: Path, manifest: Manifest, make_entry: MakeEntry, spoil: Any, said: str
) -> None:
    Gallery.open(folder, manifest).close()
    entries = [make_entry(name) for name in NAMES]
    made = _made_elsewhere(tmp_path, entries, metadata=["{}"] * 60, duration=[1.0] * 60)
    table = parquet.read_table(made)
    rows = table.to_pylist()
    rows[41] = spoil(rows[41])
    parquet.write_table(pa.Table.from_pylist(rows, schema=table.schema), made)
    told = run("import", folder, made)
    assert told.exit_code == 1
    assert said in told.stderr
    assert "0 records before it are in; run it again to go on" in told.stderr


def test_a_video_never_gets_numbers_of_the_next_one(
    folder: Path, tmp_path: Path, manifest: Manifest, make_entry: MakeEntry
) -> None:
    Gallery.open(folder, manifest).close()
    entries = [make_entry(name) for name in NAMES]
    made = _made_elsewhere(tmp_path, entries)
    table = parquet.read_table(made)
    place = table.schema.get_field_index(FRAME_EMBEDDINGS)
    nested = [entry.tensors[FRAME_EMBEDDINGS].astype(np.float64).tolist() for entry in entries]
    # As many in all: one video lacks a frame, and the next has one more.
    moved = [*nested[:3], nested[3][:-1], [nested[3][-1], *nested[4]], *nested[5:]]
    kind = pa.list_(pa.list_(pa.float64()))
    for values, said in ((moved, "numbers a video"), (nested, "60 videos imported")):
        parquet.write_table(table.set_column(place, FRAME_EMBEDDINGS, pa.array(values, kind)), made)
        assert said in run("import", folder, made).output


def test_an_import_goes_on_where_it_stopped(
    folder: Path, tmp_path: Path, manifest: Manifest, make_entry: MakeEntry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "sealed_rows", lambda row_bytes: 16)
    Gallery.open(folder, manifest).close()
    entries = [make_entry(name) for name in NAMES]
    made = _made_elsewhere(tmp_path, [*entries[:40], replace(entries[40], digest=b""), *entries[41:]])
    assert "32 records before it are in" in run("import", folder, made).stderr
    assert (
        "28 videos imported, 32 were there already, 60 in all"
        in run("import", folder, _made_elsewhere(tmp_path, entries)).stdout
    )


def test_other_digests_are_named_and_replaced_where_it_is_said(
    gallery: Gallery, folder: Path, tmp_path: Path, make_entry: MakeEntry
) -> None:
    before = records(gallery)
    made = _made_elsewhere(tmp_path, [*(make_entry(name) for name in NAMES[:30]), make_entry(NAMES[31], seed=5)])
    told = run("import", folder, made)
    assert told.exit_code == 1
    assert "1 videos are there with another digest, of which 'v31.mp4': --replace puts" in told.stderr
    assert records(gallery) == before
    assert "1 videos imported, 30 were there already, 60 in all" in run("import", folder, made, "--replace").stdout
    assert gallery.lookup([NAMES[31]]).digests[NAMES[31]] == make_entry(NAMES[31], seed=5).digest


def test_another_model_s_records_are_refused(
    gallery: Gallery, folder: Path, tmp_path: Path, manifest: Manifest
) -> None:
    assert run("export", folder, tmp_path / "out.parquet").exit_code == 0
    Gallery.open(tmp_path / "other", replace(manifest, fingerprint="model-b")).close()
    told = run("import", tmp_path / "other", tmp_path / "out.parquet")
    assert told.exit_code == 1
    assert "records of the model model-a" in told.stderr


def test_a_flipped_bit_is_found_on_the_way_in(gallery: Gallery, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"
    assert run("export", folder, out).exit_code == 0
    raw = out.read_bytes()
    vector = gallery.reader().table.to_table([FRAME_EMBEDDINGS]).column(0).combine_chunks().flatten()[24 * 20 : 24 * 21]
    place = raw.index(np.asarray(vector).tobytes())
    out.write_bytes(raw[: place + 9] + bytes([raw[place + 9] ^ 1]) + raw[place + 10 :])
    told = run("import", tmp_path / "copy", out)
    assert told.exit_code == 1
    assert "changed on disk" in told.stderr


def test_damaged_and_foreign_files_are_errors_without_a_traceback(
    gallery: Gallery, folder: Path, tmp_path: Path
) -> None:
    whole, values = tmp_path / "out.parquet", random.Random(1)
    assert run("export", folder, whole).exit_code == 0
    raw = whole.read_bytes()
    cases = [b"", b"PAR1", raw[: len(raw) // 2], values.randbytes(2000)]
    for _ in range(20):
        place = values.randrange(len(raw))
        cases.append(raw[:place] + values.randbytes(4) + raw[place + 4 :])
    for number, case in enumerate(cases):
        whole.write_bytes(case)
        told = run("import", tmp_path / f"copy{number}", whole)
        assert isinstance(told.exception, SystemExit) or told.exit_code == 0, (number, told.exception)
    assert run("import", folder, tmp_path / "absent").stderr == f"Error: there is no {tmp_path / 'absent'} to import\n"


def test_stats_and_compact_tell_of_the_files(gallery: Gallery, folder: Path, make_entry: MakeEntry) -> None:
    for n in range(5):
        gallery.add([make_entry(f"more{n}")])
    gallery.remove([NAMES[0]])
    facts = dict(line.split(maxsplit=1) for line in run("stats", folder).stdout.splitlines())
    assert facts["videos"] == "64"
    assert facts["removed"] == "1 rows that still take room"
    assert facts["files"].startswith("6, of which 0 are sealed")
    assert facts["writer"] == "none"
    told = run("compact", folder)
    assert told.exit_code == 0, told.output
    assert told.stdout.startswith("6 files of records became 1, ")
    facts = dict(line.split(maxsplit=1) for line in run("stats", folder).stdout.splitlines())
    assert facts["index"] == "64 rows in 1 piece, 0 rows outside"
    assert gallery.count == 64
