"""``framesift index`` without a server: real films, real processes, a real gallery."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import av
import numpy as np
import psutil
import pytest

from framesift.export.bundle.store import Bundle
from framesift.export.bundle.video.limits import VideoLimits
from framesift.serving.gallery import store
from framesift.serving.gallery.lock import exclusive
from framesift.serving.gallery.store import LOCK, Gallery
from framesift.serving.indexing.processes import Process
from framesift.serving.indexing.worker import Setting
from framesift.serving.repository.deploy import deploy

from ...waiting import LIMIT_S
from .conftest import FILMS, Run, website
from .records import records


def _ids() -> set[str]:
    return {f"{'old/' if place % 2 else ''}{place}.mp4" for place in range(FILMS)}


def test_a_second_run_does_what_is_left(index: Run, films: Path) -> None:
    first = index("films")
    assert (first.exit_code, first.stdout) == (0, f"{FILMS} indexed, 0 skipped, 0 failed\n"), first.stderr
    assert records(Path("gallery")).keys() == _ids()
    begun = Gallery.existing("gallery").version
    second = index("films")
    assert second.stdout == f"0 indexed, {FILMS} skipped, 0 failed: the gallery is as it was\n"
    # Nothing is left to do, so no process was started.
    assert "processes" not in second.stderr
    assert Gallery.existing("gallery").version == begun
    (films / "0.mp4").write_bytes((films / "2.mp4").read_bytes())
    (films / "new.mp4").write_bytes((films / "old" / "1.mp4").read_bytes())
    third = index("films")
    assert third.stdout == f"2 indexed, {FILMS - 1} skipped, 0 failed\n"
    found = records(Path("gallery"))
    assert found["0.mp4"]["frame_vectors"] == found["2.mp4"]["frame_vectors"]
    assert len(found) == FILMS + 1


@pytest.mark.slow
def test_sources_are_absolute_and_images_are_counted(index: Run, films: Path) -> None:
    for path in (films / "old").iterdir():
        path.unlink()
    with av.open(str(films / "0.mp4")) as film:
        next(film.decode(video=0)).to_image().save(films / "cover.png")
    first = index("films")
    assert first.stdout == (
        "3 indexed, 0 skipped, 0 failed\n1 image was left out: --images takes it as a video of one frame\n"
    )
    second = index("films", "--images")
    assert second.stdout == "1 indexed, 3 skipped, 0 failed\n"
    found = records(Path("gallery"))
    assert {id_: one["source"] for id_, one in found.items()} == {
        path.name: str(path) for path in films.iterdir() if path.is_file()
    }
    assert index("films/*.png").stdout.startswith("0 indexed, 1 skipped")


@pytest.mark.slow
def test_bad_files_are_listed_and_their_list_is_a_manifest(index: Run, films: Path) -> None:
    good = (films / "0.mp4").read_bytes()
    (films / "0.mp4").write_bytes(b"no film")
    (films / "2.mp4").write_bytes(b"")
    first = index("films", "--failures", "failed.jsonl")
    assert (first.exit_code, first.stdout) == (1, f"{FILMS - 2} indexed, 0 skipped, 2 failed\n")
    told = {line.split(":")[0] for line in first.stderr.splitlines() if line.startswith("  ")}
    assert told == {"  films/0.mp4", "  films/2.mp4"}
    lines = {line["id"]: line for line in map(json.loads, Path("failed.jsonl").read_text().splitlines())}
    assert lines.keys() == {"0.mp4", "2.mp4"}
    assert "unknown or unsupported format" in lines["0.mp4"]["reason"]
    assert lines["2.mp4"]["reason"] == "the file is empty"
    for name in ("0.mp4", "2.mp4"):
        (films / name).write_bytes(good)
    Path("failed.jsonl").rename("again.jsonl")
    again = index("again.jsonl")
    assert (again.exit_code, again.stdout) == (0, "2 indexed, 0 skipped, 0 failed\n"), again.stderr
    assert records(Path("gallery")).keys() == _ids()


def test_odd_names_stop_no_run_of_what_failed(index: Run, films: Path) -> None:
    names = [b" lead.mp4", b"two\nlines.mp4", b"not utf-8 \xff.mp4"]
    for name in names:
        Path(os.fsdecode(bytes(films) + b"/" + name)).write_bytes((films / "0.mp4").read_bytes())
    (films / "2.mp4").write_bytes(b"no film")
    Path("lists").mkdir()
    first = index("films", "--failures", "lists/failed.jsonl")
    assert (first.exit_code, first.stdout) == (1, f"{FILMS - 1} indexed, 0 skipped, 4 failed\n"), first.output
    (films / "2.mp4").write_bytes((films / "0.mp4").read_bytes())
    # They are listed once more, and stop nothing else.
    again = index("lists/failed.jsonl", "--failures", "lists/again.jsonl")
    assert (again.exit_code, again.stdout) == (1, "1 indexed, 0 skipped, 3 failed\n"), again.output
    lines = [json.loads(line) for line in Path("lists/again.jsonl").read_text().splitlines()]
    assert {os.fsencode(line["path"]) for line in lines} == {bytes(films) + b"/" + name for name in names}
    # An id that can be is all that they need, but for a path that can be no source.
    mended = [{"path": line["path"], "id": f"mended {place}"} for place, line in enumerate(lines)]
    Path("mended.jsonl").write_text("".join(json.dumps(line) + "\n" for line in mended))
    assert index("mended.jsonl").stdout == "1 indexed, 0 skipped, 2 failed\n"
    assert records(Path("gallery")).keys() > _ids()


@pytest.mark.slow
def test_shards_are_parts_of_one_gallery(index: Run, films: Path) -> None:
    counts = [int(index("films", "--shard", f"{shard}/3").stdout.split()[0]) for shard in range(3)]
    assert sum(counts) == FILMS
    assert max(counts) < FILMS
    index("films", gallery="whole")
    assert records(Path("gallery")) == records(Path("whole"))


@pytest.mark.slow
def test_a_manifest_says_the_same_as_a_folder(index: Run, films: Path) -> None:
    index("films")
    lines = [
        {"path": f"films/{id_}", "id": id_, "metadata": {"place": place}} for place, id_ in enumerate(sorted(_ids()))
    ]
    Path("list.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert index("list.jsonl", gallery="listed").stdout == f"{FILMS} indexed, 0 skipped, 0 failed\n"
    named, listed = records(Path("gallery")), records(Path("listed"))
    assert [json.loads(listed[line["id"]].pop("metadata")) for line in lines] == [line["metadata"] for line in lines]
    assert {id_: {k: v for k, v in one.items() if k != "metadata"} for id_, one in named.items()} == listed
    # What is known is read, and not encoded.
    assert index("list.jsonl", gallery="listed").stdout.startswith(f"0 indexed, {FILMS} skipped")


@pytest.mark.slow
def test_a_process_that_is_killed_costs_no_film(index: Run, films: Path) -> None:
    """Every process of the first generation is killed as soon as it is there, and some later ones."""
    here, killed, one, over = psutil.Process(), set[int](), threading.Event(), threading.Event()

    def kill() -> None:
        while not over.is_set() and len(killed) < 3:
            for child in here.children():
                with suppress(psutil.Error):
                    command = " ".join(child.cmdline())
                    if "process_main" in command and child.pid not in killed and child.children():
                        child.kill()
                        killed.add(child.pid)
                        one.set()
            time.sleep(0.01)

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        # The films wait until one was.
        with website(films, lambda: one.wait(120)) as site:
            lines = [json.dumps({"path": f"{site}/{id_}", "id": id_}) for id_ in sorted(_ids())]
            Path("list.jsonl").write_text("\n".join(lines))
            result = index("list.jsonl", "--jobs", "1")
    finally:
        over.set()
        thread.join()
    assert killed
    counts = [int(part.split()[0]) for part in result.stdout.split(", ")]
    assert sum(counts) == FILMS
    # One film may have met two kills, and says so.
    assert counts[2] <= 1
    assert all("its process ended 2 times (SIGKILL)" in line for line in result.stderr.splitlines() if line[:2] == "  ")
    assert index("films").exit_code == 0
    assert records(Path("gallery")).keys() == _ids()


@pytest.mark.slow
def test_a_writer_is_waited_for_and_named(index: Run, films: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index("films/0.mp4")
    taken, done = threading.Event(), threading.Event()

    def hold() -> None:
        with exclusive(Path("gallery", LOCK), 5):
            taken.set()
            done.wait()

    thread = threading.Thread(target=hold, daemon=True)
    thread.start()
    taken.wait()
    monkeypatch.setattr(store, "LOCK_WAIT_S", 0.2)
    refused = index("films/2.mp4")
    assert refused.exit_code == 1
    assert "another writer has held" in refused.stderr
    assert f"process {os.getpid()}" in refused.stderr
    monkeypatch.setattr(store, "LOCK_WAIT_S", 60.0)
    threading.Timer(1.0, done.set).start()
    assert index("films/2.mp4").stdout == "1 indexed, 0 skipped, 0 failed\n"
    thread.join()


def test_a_gallery_of_another_model_is_refused(index: Run, films: Path, manifest) -> None:
    Gallery.open("gallery", manifest)
    result = index("films")
    assert result.exit_code == 1
    assert "name another folder" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["films", "--shard", "3/3"], "write i/n"),
        (["films", "--server", "127.0.0.1:1"], "--server is of no use with --bundle"),
        (["films", "--gpus", "1"], "--gpus needs --ray"),
        (["films", "--video-limit", "work=x"], "needs a positive number"),
        (["films", "--jobs", "4000"], "start fewer with --jobs"),
        (["nowhere"], "no such file or folder"),
    ],
)
def test_what_can_not_be_right_is_refused(index: Run, films: Path, arguments: list[str], said: str) -> None:
    result = index(*arguments)
    assert result.exit_code != 0
    assert said in " ".join(result.stderr.split())


@pytest.mark.slow
def test_the_container_s_script_indexes_a_job_s_part(index: Run, bundle: Bundle, films: Path, tmp_path: Path) -> None:
    deploy(bundle, tmp_path / "deployed", "container")
    counts = []
    for part in range(2):
        told = {
            "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
            "HOME": str(tmp_path),
            "FRAMESIFT_GALLERY": str(tmp_path / "by_jobs"),
            "FRAMESIFT_SHARDS": "2",
            "JOB_COMPLETION_INDEX": str(part),
        }
        command = ["bash", str(tmp_path / "deployed/index.sh"), "--jobs", "1", "films"]
        run = subprocess.run(command, env=told, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stderr
        counts.append(int(run.stdout.split()[0]))
    assert sum(counts) == FILMS
    index("films")
    assert records(Path("by_jobs")) == records(Path("gallery"))


def _started(bundle: Bundle) -> Process:
    return Process(Setting(str(bundle.root), VideoLimits().settings(), 10))


def test_a_process_counts_what_it_holds_itself(bundle: Bundle) -> None:
    # What started it has held more, which its own peak would begin with as `getrusage` counts.
    held = np.ones(1 << 30, np.uint8)
    process = _started(bundle)
    assert 16 << 20 < process.peak() < held.nbytes
    process.end()


def test_a_process_ends_with_whoever_started_it(bundle: Bundle) -> None:
    process = _started(bundle)
    process.peak()
    seen = psutil.Process(process.pid)
    decoders = seen.children(recursive=True)
    assert decoders
    process._channel.close()
    gone, alive = psutil.wait_procs([seen, *decoders], timeout=LIMIT_S)
    assert (len(gone), alive) == (1 + len(decoders), [])
    process.end()
