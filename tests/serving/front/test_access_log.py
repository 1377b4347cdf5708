"""The access log: what a line holds and what it never holds, rotation, and disks that don't keep up."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import grpc as plain
import pytest

from framesift import Client, Credentials
from framesift.export.bundle.errors import DeadlineExceeded, ServerStartError, ServerUnavailable
from framesift.export.bundle.store import Bundle
from framesift.serving.front import access_log as module
from framesift.serving.front.access_log import AccessLog
from framesift.serving.front.record import Record
from framesift.serving.front.status import Code
from framesift.serving.front.telemetry import Telemetry
from framesift.serving.front.tokens import new_token
from framesift.serving.server.door import Reach

from ...waiting import until
from .alone import standing
from .requests_of import request, search

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = ("traceparent", f"00-{TRACE}-00f067aa0ba902b7-01")


def lines(path: Path, count: int) -> list[dict[str, Any]]:
    """So many lines of a log, once they are there."""
    until(
        lambda: path.exists() and path.read_bytes().count(b"\n") >= count,
        told=lambda: path.exists() and path.read_text(),
    )
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def record(**fields: Any) -> Record:
    made = Record("ModelInfer", "somebody", "search", ["a line\nand \u2028 \u00fc"], **fields)
    made.ended = made.began + 0.5
    return made


def test_a_line_tells_who_what_how_and_how_long(tmp_path: Path) -> None:
    told = record(received=120, sent=340, batch_rows=7, trace_id=TRACE, at_ns=1_700_000_000_123_456_789)
    told.stage("queue", told.began, told.began + 0.25)
    for count, texts in enumerate((False, True), 1):
        log = AccessLog(tmp_path / "log", texts=texts)
        log.add(told)
        log.close()
        # It is not waited for without end.
        found = lines(tmp_path / "log", count)
    without, with_ = found
    assert without == {
        "time": "2023-11-14T22:13:20.123456Z",
        "caller": "somebody",
        "method": "ModelInfer",
        "model": "search",
        "code": "OK",
        "total_s": 0.5,
        "queue_s": 0.25,
        "bytes_in": 120,
        "bytes_out": 340,
        "rows": 1,
        "batch_rows": 7,
        "trace_id": TRACE,
    }
    assert with_ == {**without, "texts": ["a line\nand \u2028 \u00fc"]}
    assert os.stat(tmp_path / "log").st_mode & 0o077 == 0


def test_a_file_that_was_moved_is_made_anew(tmp_path: Path) -> None:
    path, moved = tmp_path / "log", tmp_path / "log.1"
    log = AccessLog(path)
    log.add(record(code=Code.OK))
    lines(path, 1)
    path.rename(moved)
    log.add(record(code=Code.INTERNAL))
    assert [line["code"] for line in lines(path, 1)] == ["INTERNAL"]
    path.unlink()
    log.add(record(code=Code.NOT_FOUND))
    assert [line["code"] for line in lines(path, 1)] == ["NOT_FOUND"]
    # As logrotate's copytruncate does it.
    os.truncate(path, 0)
    log.add(record(code=Code.CANCELLED))
    assert [line["code"] for line in lines(path, 1)] == ["CANCELLED"]
    log.close()
    assert [line["code"] for line in lines(moved, 1)] == ["OK"]
    assert log.dropped == 0


def test_a_full_disk_costs_lines_and_nothing_else(tmp_path: Path) -> None:
    log = AccessLog(Path("/dev/full"))
    for _ in range(3):
        log.add(record())
    log.close()
    until(lambda: log.dropped >= 3)
    assert log.dropped == 3


def test_who_does_not_read_costs_a_bounded_buffer_and_nobody_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LARGEST_PENDING", 1 << 16)
    monkeypatch.setattr(module, "_STOP_S", 0.1)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    held = os.open(pipe, os.O_RDWR)
    log = AccessLog(pipe)

    def dropped() -> int:
        log.add(record())
        return log.dropped

    until(dropped, pause_s=0)
    assert sum(map(len, log._lines)) <= 1 << 16
    log.close()
    os.close(held)


def test_what_can_not_be_written_is_refused_before_anything_starts(tmp_path: Path) -> None:
    Telemetry(tmp_path / "log").check()
    for path in (tmp_path, tmp_path / "absent" / "log"):
        with pytest.raises(ServerStartError, match="can't be written"):
            Telemetry(path).check()
    with pytest.raises(ServerStartError, match="--access-log"):
        Telemetry(log_texts=True).check()


@pytest.mark.parametrize("log_texts", [False, True], ids=["without texts", "with texts"])
def test_every_call_has_its_line_and_no_token_is_in_any(log_texts: bool, bundle: Bundle, tmp_path: Path) -> None:
    path, tokens = tmp_path / "log", tmp_path / "tokens"
    token = new_token(tokens, "dashboard", ["search"])
    shown = [("authorization", f"Bearer {token}")]
    with standing(bundle.root, tmp_path / "run", Reach(tokens=tokens), Telemetry(path, log_texts)) as (address, _):
        # There is no server behind this door: the search waits for one, about as long as its client does.
        with (
            Client(address, retry=False, credentials=Credentials(token), timeout_s=5) as client,
            pytest.raises((DeadlineExceeded, ServerUnavailable)),
        ):
            client.search("a secret wish")
        with plain.insecure_channel(address) as channel:
            infer = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
            wish = request("search", search((b"a secret wish",))).SerializeToString()
            video = request("index_video", {}).SerializeToString()
            for message, metadata in ((wish, [("authorization", "Bearer fs_wrong")]), (video, [*shown, PARENT])):
                with pytest.raises(plain.RpcError):
                    infer(message, timeout=60, metadata=metadata)
        found = lines(path, 3)
    # Not in this order: the door may learn a moment later that a client has stopped waiting.
    by_code = {line["code"]: line for line in found}
    unknown, forbidden = by_code.pop("UNAUTHENTICATED"), by_code.pop("PERMISSION_DENIED")
    (timed_out,) = by_code.values()
    assert timed_out["code"] in ("DEADLINE_EXCEEDED", "CANCELLED", "UNAVAILABLE")
    assert (timed_out["model"], timed_out["rows"]) == ("search", 1)
    assert timed_out["queue_s"] + timed_out.get("upstream_s", 0) > 0.3
    assert (unknown["cause"], unknown["caller"]) == ("token", "")
    assert (forbidden["model"], forbidden["cause"], forbidden["trace_id"]) == ("index_video", "role", TRACE)
    text = path.read_text()
    assert token not in text
    assert "fs_" not in text
    assert ("a secret wish" in text) is log_texts
