"""The commands index and search against a server, as a shell would run them."""

from __future__ import annotations

import codecs
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from framesift.__main__ import main
from framesift.export.bundle.errors import InvalidRequest
from framesift.export.bundle.ports import VIDEO
from framesift.serving.client.discover import discover
from framesift.serving.client.indexing import Outcome, index_files
from framesift.serving.client.metadata_lines import decoded, for_ids, read_metadata
from framesift.serving.client.results import Hit, SearchResult
from framesift.serving.client.search_command import table
from framesift.serving.client.sync import Client

Wait = Callable[[int], None]
Run = Callable[..., Result]


@pytest.fixture
def run(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    (tmp_path / "films").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FRAMESIFT_SERVER", address)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return lambda *arguments, **options: CliRunner().invoke(main, list(map(str, arguments)), **options)


@pytest.fixture
def films(run: Run, tmp_path: Path) -> Path:
    for n in range(6):
        (tmp_path / "films" / f"{n}.mp4").write_bytes(f"film {n}".encode())
    return tmp_path / "films"


def _indexed(server: Any) -> int:
    return sum(model == "index_video" for model, _ in server.requests)


def test_a_second_run_skips_what_has_not_changed(run: Run, films: Path, server: Any) -> None:
    first = run("index", "films", "--jobs", 2)
    assert (first.exit_code, first.stdout) == (0, "6 indexed, 0 skipped, 0 failed\n")
    assert server.index.gallery.count == _indexed(server) == 6
    (films / "3.mp4").write_bytes(b"another film")
    (films / "new.mkv").write_bytes(b"new")
    second = run("index", "films")
    assert (second.exit_code, second.stdout) == (0, "2 indexed, 5 skipped, 0 failed\n")
    assert (server.index.gallery.count, _indexed(server)) == (7, 8)
    third = run("index", "films")
    assert (third.exit_code, third.stdout) == (0, "0 indexed, 7 skipped, 0 failed: the gallery is as it was\n")
    forced = run("index", "films", "--force")
    assert (forced.exit_code, forced.stdout) == (0, "7 indexed, 0 skipped, 0 failed\n")


def test_bad_files_are_listed_at_the_end_and_do_not_stop_the_others(run: Run, films: Path, server: Any) -> None:
    (films / "2.mp4").write_bytes(b"bad")
    (films / "5.mp4").write_bytes(b"")
    result = run("index", "films")
    assert result.exit_code == 1
    assert result.stdout == "4 indexed, 0 skipped, 2 failed\n"
    listed = [line for line in result.stderr.splitlines() if line.startswith("  ")]
    assert sorted(listed) == ["  films/2.mp4: the file is not a video", "  films/5.mp4: the file is empty"]


def test_fail_fast_stops_at_the_first_bad_file(run: Run, films: Path, server: Any) -> None:
    (films / "1.mp4").write_bytes(b"bad")
    own, over = server._index_video, threading.Event()

    def held(arrays: Any) -> Any:
        # What is sent next is not done before the command knows of the failure.
        if arrays[VIDEO][0].tobytes() not in (b"film 0", b"bad"):
            over.wait(20)
        return own(arrays)

    server._index_video = held
    result = run("index", "films", "--fail-fast", "--jobs", 1)
    over.set()
    assert result.exit_code == 1
    assert "1 failed" in result.stdout
    assert "not tried" in result.stdout
    assert "films/1.mp4: the file is not a video" in result.stderr
    assert server.index.gallery.count < 5


def _index(client: Client) -> list[Outcome]:
    outcomes: list[Outcome] = []
    index_files(client, discover(["films"]).videos, outcomes.append)
    return outcomes


def test_a_file_that_takes_too_long_is_a_bad_file(films: Path, address: str) -> None:
    (films / "slow.mp4").write_bytes(b"slow" + bytes(100))
    # Of which the others take a hundredth.
    with Client(address, 5.0) as client:
        outcomes = {outcome.path.name: outcome for outcome in _index(client)}
    assert outcomes["slow.mp4"].status == "failed"
    assert "within 5 s" in outcomes["slow.mp4"].reason


def test_a_file_that_is_refused_again_and_again_is_a_bad_file(films: Path, address: str, server: Any) -> None:
    (films / "0.mp4").write_bytes(b"busy")
    server.busy_answers = 2
    with Client(address) as client:
        assert [outcome.status for outcome in _index(client)] == ["indexed"] * 6
    server.busy_answers = 100
    (films / "0.mp4").write_bytes(b"busy again")
    with Client(address, 5.0) as client:
        outcomes = _index(client)
        assert [outcome.status for outcome in outcomes].count("skipped") == 5
        (failed,) = (outcome for outcome in outcomes if outcome.status == "failed")
        assert failed.path.name == "0.mp4"
        assert "overloaded" in failed.reason


def test_it_says_first_where_it_writes(run: Run, films: Path, server: Any, address: str, tmp_path: Path) -> None:
    place = f"{address} serves dong2026 model "
    first, *_ = run("index", "films").stderr.splitlines()
    assert first.startswith(place)
    assert first.endswith(f"with 0 videos in the gallery {tmp_path / 'gallery'}")
    (films / "one more.mp4").write_bytes(b"new")
    assert "with 6 videos in the gallery" in run("index", "films").stderr.splitlines()[0]


def test_without_a_server_it_says_so_once(run: Run, films: Path) -> None:
    result = run("index", "films", "--server", "127.0.0.1:1")
    assert result.exit_code == 1
    assert "0 indexed, 0 skipped, 0 failed, 6 not tried" in result.stdout
    assert "is `framesift serve` running?" in result.stderr
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["nowhere"], "no such file or folder"),
        ([], "Missing argument"),
        (["films", "--jobs", "0"], "0 is not in the range"),
        (["films", "--id-from", "size"], "'size' is not one of"),
        (["films", "--metadata", "no.jsonl"], "No such file"),
    ],
)
def test_a_command_line_that_can_not_be_right_exits_with_2(run: Run, films: Path, args: list[str], said: str) -> None:
    result = run("index", *args)
    assert result.exit_code == 2
    assert said in result.stderr


def test_metadata_goes_to_the_video_of_its_id(run: Run, films: Path, tmp_path: Path, server: Any) -> None:
    (tmp_path / "facts.jsonl").write_text('{"id": "1.mp4", "title": "Ünï", "year": 1999}\n\n{"id": "gone"}\n')
    result = run("index", "films", "--metadata", "facts.jsonl")
    assert result.exit_code == 0
    assert "metadata of 1 ids that are not indexed here, e.g. 'gone'" in result.stderr
    kept = {
        id_: json.loads(text)
        for batch in server.index.gallery.reader().batches(["metadata"], -1)
        for id_, text in zip(batch.column("id").to_pylist(), batch.column("metadata").to_pylist(), strict=True)
    }
    assert kept.pop("1.mp4") == {"title": "Ünï", "year": 1999}
    assert set(map(str, kept.values())) == {"{}"}


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["plain", "byte-order mark"])
def test_metadata_is_utf_8_with_or_without_a_mark(mark: bytes, run: Run, films: Path, tmp_path: Path) -> None:
    (tmp_path / "facts.jsonl").write_bytes(mark + '{"id": "1.mp4", "t": "café"}\n'.encode())
    result = run("index", "films", "--metadata", "facts.jsonl")
    assert (result.exit_code, result.stdout) == (0, "6 indexed, 0 skipped, 0 failed\n")
    assert "not indexed here" not in result.stderr


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b'{"id": "a.mp4"}\n{"id": "b.mp4", "t": "caf\xe9"}\n', "line 2 is not UTF-8, at its byte 26"),
        ('{"id": "a.mp4"}\n'.encode("utf-16"), "line 1 is not UTF-8, at its byte 1"),
    ],
)
def test_metadata_that_is_not_utf_8_names_its_line(
    raw: bytes, said: str, run: Run, films: Path, tmp_path: Path, server: Any
) -> None:
    (tmp_path / "facts.jsonl").write_bytes(raw)
    result = run("index", "films", "--metadata", "facts.jsonl")
    assert result.exit_code == 2
    assert f"the metadata's {said}" in " ".join(result.stderr.split())
    assert server.requests == []


def test_metadata_finds_names_whose_letters_are_written_otherwise() -> None:
    apart, together = "cafe\u0301.mp4", "caf\u00e9.mp4"
    facts = {together: {"t": 1}, "b.mp4": {"t": 2}, "gone.mp4": {"t": 3}}
    assert for_ids(facts, {apart, "b.mp4"}) == {apart: {"t": 1}, "b.mp4": {"t": 2}, "gone.mp4": {"t": 3}}
    # What is there as it is written keeps its own, and where both are there neither is guessed at.
    assert for_ids({apart: {"t": 1}, together: {"t": 2}}, {apart}) == {apart: {"t": 1}}
    assert for_ids({"A\u030a.mp4": {"t": 1}}, {"\u00c5.mp4", "\u212b.mp4"}) == {"A\u030a.mp4": {"t": 1}}


@pytest.mark.parametrize("line", ["[1]", "{", '{"title": "x"}', '{"id": 3}', '{"id": "a"}'])
def test_metadata_that_can_not_be_read_names_its_line(line: str) -> None:
    def lines() -> Iterator[str]:
        yield '{"id": "a"}'
        yield line

    with pytest.raises(InvalidRequest, match="line 2"):
        read_metadata(lines())


def test_search_prints_an_aligned_table(run: Run, films: Path, server: Any, wait_for_version: Wait) -> None:
    run("index", "films")
    wait_for_version(server.index.gallery.version)
    result = run("search", "a dog", "--top", 3)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert [line.split() for line in lines[:1]] == [["rank", "score", "moment", "id"]]
    assert len(lines) == 4
    assert len({line.index(".mp4") for line in lines[1:]}) == 1


def test_candidates_are_utf_8_with_or_without_a_mark(tmp_path: Path) -> None:
    ids, nobody = tmp_path / "ids.txt", "127.0.0.1:1"
    ids.write_bytes("a.mp4\ncaf\u00e9.mp4\n".encode("latin-1"))
    result = CliRunner().invoke(main, ["search", "x", "--candidates", str(ids), "--server", nobody])
    assert (result.exit_code, "the candidates' line 2 is not UTF-8" in result.output) == (1, True)
    assert list(decoded([codecs.BOM_UTF8 + b"a.mp4\n", b"b.mp4"], "candidates'")) == ["a.mp4\n", "b.mp4"]


def test_search_prints_json_for_every_query(run: Run, films: Path, server: Any, wait_for_version: Wait) -> None:
    run("index", "films")
    wait_for_version(server.index.gallery.version)
    result = run("search", "eins", "-", "--json", "--top", 2, input="zwei\n\ndrei ☃\n")
    assert result.exit_code == 0
    answers = [json.loads(line) for line in result.stdout.splitlines()]
    assert [answer["query"] for answer in answers] == ["eins", "zwei", "drei ☃"]
    for answer in answers:
        assert [len(hit["attention"]) for hit in answer["hits"]] == [3, 3]
        assert answer["hits"][0]["score"] >= answer["hits"][1]["score"]


def test_every_option_of_a_search_is_passed_on_with_whatever_is_searched(run: Run, films: Path, server: Any) -> None:
    run("index", "films")
    common = ("--where", "id != 'x'", "--min-score", "0.1", "--segments", "--partial")
    sent = {"facts", "where", "min_score", "segments", "partial"}
    run("search", "eins", *common, "--offset", "1")
    assert server.parameters["search"] == {*sent, "offset"}
    run("search", "eins", *common, "--after", "x")
    assert server.parameters["search"] == {*sent, "after"}
    # The toy server has no such models; what it was asked it knows all the same.
    run("search", "--like", "1.mp4", "--include", "--segment", "0", *common, "--offset", "1")
    assert server.parameters["search_like"] == {*sent, "offset", "like", "include", "segment"}
    run("search", "eins", "--like", "1.mp4", "--weight", "0.2", *common, "--after", "x")
    assert server.parameters["search_like_text"] == {*sent, "after", "like", "weight"}


@pytest.mark.parametrize("command", [("search", "eins"), ("videos", "list"), ("videos", "count")])
def test_an_empty_filter_is_no_filter_that_was_forgotten(run: Run, command: tuple[str, ...]) -> None:
    for text in ("", "  "):
        told = run(*command, "--where", text)
        assert (told.exit_code, told.stdout) == (1, "")
        assert "the filter is empty: write one, such as 'duration < 30', or leave it out for all videos" in told.stderr


def test_search_says_when_there_is_nothing(run: Run) -> None:
    result = run("search", "eins", "zwei")
    assert result.exit_code == 0
    assert result.stdout.count("the gallery is empty") == 2
    assert run("search", "-", input="\n").exit_code == 2
    empty = run("search", " ")
    assert (empty.exit_code, "the text is empty" in empty.stderr) == (1, True)


def test_the_table_lines_up_whatever_the_numbers() -> None:
    hits = tuple(
        Hit(f"id {n}", score, (0.1, 0.9), (1.0, time)) for n, (score, time) in enumerate([(1, 2), (-0.25, 1234.56)])
    )
    assert table(SearchResult("q", hits, 1)).splitlines() == [
        "rank    score    moment  id",
        "   1   1.0000     2.0 s  id 0",
        "   2  -0.2500  1234.6 s  id 1",
    ]
