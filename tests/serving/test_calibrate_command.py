"""``framesift gallery calibrate`` on the demo's model, and what ``gallery stats`` tells of it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from framesift.__main__ import main
from framesift.export.bundle.errors import InvalidInput
from framesift.export.bundle.store import Bundle
from framesift.serving.calibration_texts import texts_of_file
from framesift.serving.gallery.calibration import FILE, Calibration
from framesift.serving.gallery.store import Gallery

from .coarse_gallery import COPIES, FILMS, fill, phrases


def run(*args: object) -> Result:
    return CliRunner().invoke(main, ["gallery", *map(str, args)])


@pytest.fixture(scope="module")
def filled(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("galleries") / "films"
    fill(bundle, folder)
    return folder


@pytest.fixture
def gallery(filled: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(filled, tmp_path / "films"))


def test_texts_of_a_file_lead_to_a_calibration_that_stats_show(bundle: Bundle, gallery: Path, tmp_path: Path) -> None:
    texts = tmp_path / "queries.txt"
    texts.write_text("\n".join([*phrases(70), "", *phrases(70)]))
    done = run("calibrate", gallery, "--bundle", bundle.root, "--texts", texts, "--recall", 0.8, "--limit", 60)
    assert done.exit_code == 0, done.output
    found = Calibration.read(gallery)
    assert found is not None
    assert (found.texts, found.origin, found.top, found.wished) == (60, "'queries.txt'", 10, 0.8)
    assert (found.videos, found.fingerprint) == (FILMS * COPIES, bundle.manifest.fingerprint)
    assert found.recall >= 0.8
    told = f"recall@10 {found.recall:g} of 60 texts ('queries.txt'), 0.8 wished"
    assert told in done.stdout
    with Gallery.open(gallery, bundle.manifest) as opened:
        opened.remove([f"v{n}" for n in range(7)])
    shown = run("stats", gallery).stdout
    assert f"coarse   {told}" in shown
    assert f"with {FILMS * COPIES:,} records; 0 are new since, 7 are gone" in shown
    assert "another one" not in shown
    with Gallery.open(gallery, bundle.manifest) as opened:
        opened.remove([f"v{n}" for n in range(2500)])
    assert "coarse   the gallery has become another one: calibrate it again" in run("stats", gallery).stdout


def test_titles_of_the_videos_serve_where_there_are_no_texts(bundle: Bundle, gallery: Path) -> None:
    asked = ("calibrate", gallery, "--bundle", bundle.root, "--recall", 0.8, "--limit", 50)
    done = run(*asked, "--metadata", "title")
    assert done.exit_code == 0, done.output
    found = Calibration.read(gallery)
    assert found is not None
    assert (found.texts, found.origin) == (50, "metadata 'title'")
    lacking = run(*asked, "--metadata", "caption")
    assert lacking.exit_code == 1
    assert "no video in" in lacking.stderr


def test_what_can_not_be_calibrated_says_why(bundle: Bundle, gallery: Path, tmp_path: Path) -> None:
    texts = tmp_path / "few.txt"
    texts.write_text("a red circle\n")
    for args, code, said in (
        ((), 2, "give --texts, a file of texts, or --metadata"),
        (("--texts", texts, "--metadata", "title"), 2, "give --texts"),
        (("--texts", texts), 1, "1 texts say too little of a recall"),
        (("--texts", tmp_path / "none"), 1, "can't be read"),
        (("--metadata", "title", "--recall", "2"), 2, "Invalid value"),
    ):
        done = run("calibrate", gallery, "--bundle", bundle.root, *args)
        assert (done.exit_code, said in done.stderr) == (code, True), done.stderr
    done = run("calibrate", tmp_path / "no", "--bundle", bundle.root, "--texts", texts)
    assert done.stderr == f"Error: there is no gallery in {tmp_path / 'no'}\n"
    assert not (tmp_path / "no").exists()
    assert not (gallery / FILE).exists()


def test_texts_come_from_lines_access_logs_and_captions(tmp_path: Path) -> None:
    plain, log, captions = tmp_path / "a.txt", tmp_path / "access.log", tmp_path / "c.jsonl"
    plain.write_text("  one \n\ntwo\none\nthree\n")
    assert texts_of_file(plain, 9) == ["one", "two", "three"]
    assert texts_of_file(plain, 2) == ["one", "three"]
    lines: list[object] = [{"method": "search", "texts": ["x", "y"]}, {"method": "index"}, {"texts": ["x"]}]
    log.write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"texts": ["cut o')
    assert texts_of_file(log, 9) == ["x", "y"]
    captions.write_text(json.dumps({"video": "a.mp4", "captions": ["p", "q"]}) + "\n")
    assert texts_of_file(captions, 9) == ["p", "q"]
    for text, said in (("\n \n", "holds no text"), ('{"method": "index"}\n', "holds no text")):
        plain.write_text(text)
        with pytest.raises(InvalidInput, match=said):
            texts_of_file(plain, 9)
    plain.write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidInput, match="can't be read"):
        texts_of_file(plain, 9)
