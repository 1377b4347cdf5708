"""Killed, stopped and hung model processes, and what a stranger may not do."""

from __future__ import annotations

import os
import signal
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
import tritonclient.grpc as grpc

from framesift.export.bundle.errors import FramesiftError, InvalidVideo
from framesift.serving.client.sync import Client
from framesift.serving.server.embedded import EmbeddedServer

pytestmark = pytest.mark.server

# On a machine with nothing else to do. The gallery's store alone takes two seconds to import.
BACK_WITHIN_S = {"tokenizer": 3, "text_encoder": 3, "gallery_search": 5}


def model_processes(server: EmbeddedServer, model: str) -> list[int]:
    """The process ids of a model's processes."""
    found = []
    for children in Path(f"/proc/{server.pid}/task").glob("*/children"):
        for pid in children.read_text().split():
            arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            if len(arguments) > 2 and f"/{model}/" in arguments[1].decode():
                found.append(int(pid))
    return found


def stub(server: EmbeddedServer, model: str) -> int:
    """The process id of a model's first process."""
    return model_processes(server, model)[0]


def seconds_until_it_answers(client: Client, query: str) -> float:
    started = time.monotonic()
    while time.monotonic() - started < 30:
        try:
            client.search(query, top=3, timeout_s=2)
        except FramesiftError:
            time.sleep(0.05)
        else:
            return time.monotonic() - started
    raise AssertionError("no answer within 30 s")


@pytest.mark.parametrize("model", BACK_WITHIN_S)
def test_a_killed_process_is_soon_back(model: str, server, client: Client, indexed: list) -> None:
    query = indexed[0].captions[0]
    before = [hit.id for hit in client.search(query).hits]
    pid = stub(server, model)
    os.kill(pid, signal.SIGKILL)
    while Path(f"/proc/{pid}/cmdline").exists() and Path(f"/proc/{pid}/cmdline").read_bytes():
        time.sleep(0.01)
    busy = max(1.0, os.getloadavg()[0] / len(os.sched_getaffinity(0)))
    assert seconds_until_it_answers(client, query) <= BACK_WITHIN_S[model] * busy
    assert [hit.id for hit in client.search(query).hits] == before
    assert stub(server, model) != pid


def test_a_stopped_process_is_replaced(server, client: Client, indexed: list) -> None:
    # The session's server takes four seconds of silence for a hang.
    pid = stub(server, "tokenizer")
    os.kill(pid, signal.SIGSTOP)
    assert seconds_until_it_answers(client, indexed[0].captions[0]) <= 12
    assert not Path(f"/proc/{pid}").exists() or not Path(f"/proc/{pid}/cmdline").read_bytes()


def status(url: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> int:
    request = urllib.request.Request(url, data=body, headers=headers or {})
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_http_answers_health_and_metrics_but_not_inference(server) -> None:
    assert status(f"http://{server.http_address}/v2/health/ready") == 200
    assert status(f"http://{server.metrics_address}/metrics") == 200
    infer = f"http://{server.http_address}/v2/models/tokenizer/infer"
    body = b'{"inputs": [{"name": "text", "shape": [1, 1], "datatype": "UINT8", "data": [97]}]}'
    assert status(infer, body) == 403
    assert status(f"http://{server.http_address}/v2/repository/index", b"{}") == 403
    assert status(f"http://{server.http_address}/v2/systemsharedmemory/status") == 403
    assert status(f"http://{server.http_address}/v2/repository/index", b"{}", {"admin-key": server.admin_key}) == 200


def test_grpc_refuses_the_guarded_calls_without_the_key(server) -> None:
    key = {"triton-grpc-protocol-admin-key": server.admin_key}
    with grpc.InferenceServerClient(server.grpc_address) as client:
        for call in (
            client.get_model_repository_index,
            lambda **k: client.load_model("tokenizer", **k),
            client.get_system_shared_memory_status,
            client.get_log_settings,
            client.get_trace_settings,
        ):
            with pytest.raises(grpc.InferenceServerException, match="restricted"):
                call()
        assert client.get_model_repository_index(headers=key)


def test_no_reachable_model_writes_bytes(server) -> None:
    """One classification request on a BYTES output ends this server, so none may exist."""
    with grpc.InferenceServerClient(server.grpc_address) as client:
        key = {"triton-grpc-protocol-admin-key": server.admin_key}
        models = [m["name"] for m in client.get_model_repository_index(headers=key, as_json=True)["models"]]
        assert len(models) == 13
        for model in models:
            outputs = client.get_model_metadata(model, as_json=True)["outputs"]
            assert all(output["datatype"] != "BYTES" for output in outputs), model


def test_no_list_of_processes_shows_the_admin_key(server) -> None:
    """Whoever had it could make the server run code of theirs, as the server's user."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            arguments = path.read_bytes()
        except OSError:
            continue
        assert server.admin_key.encode() not in arguments, path
    with grpc.InferenceServerClient(server.grpc_address) as client:
        assert client.get_model_repository_index(headers={"triton-grpc-protocol-admin-key": server.admin_key})


def _own_memory(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return sum(int(line.split()[1]) << 10 for line in lines if line.startswith("RssAnon"))


def test_refused_videos_leave_no_memory_behind(server, client: Client) -> None:
    size, sent = 8 << 20, 12
    decoders = model_processes(server, "video_decoder")

    def refuse(times: int) -> None:
        for _ in range(times):
            with pytest.raises(InvalidVideo):
                client.index(b"not a video" + bytes(size), id="refused")

    refuse(4)
    before = sum(map(_own_memory, decoders))
    refuse(sent)
    assert sum(map(_own_memory, decoders)) - before < size * sent / 2
