"""Killed, stopped and hung model processes, and what a stranger may not do."""

from __future__ import annotations

import os
import signal
import urllib.error
import urllib.request
from pathlib import Path

import pytest
import tritonclient.grpc as grpc

from framesift.export.bundle.errors import FramesiftError, InvalidVideo
from framesift.serving.client.sync import Client
from framesift.serving.server import processes
from framesift.serving.server.embedded import EmbeddedServer
from framesift.serving.server.processes import arguments

from ...waiting import until
from ..front.asked_over_http import settle

pytestmark = pytest.mark.server


def model_processes(server: EmbeddedServer, model: str) -> list[int]:
    """The process ids of a model's processes."""
    return [process.pid for process in processes.model_processes(server.pid) if process.model == model]


def stub(server: EmbeddedServer, model: str) -> int:
    """The process id of a model's first process."""
    return model_processes(server, model)[0]


def answers(client: Client, query: str) -> bool:
    try:
        client.search(query, top=3, timeout_s=5)
    except FramesiftError:
        return False
    return True


@pytest.mark.parametrize("model", ["text_encoder", "gallery_search"])
def test_a_killed_process_comes_back(model: str, server, client: Client, indexed: list) -> None:
    query = indexed[0].captions[0]
    # The new process has what searches may not see yet.
    settle(client)
    before = [hit.id for hit in client.search(query).hits]
    pid = stub(server, model)
    os.kill(pid, signal.SIGKILL)
    until(lambda: not arguments(pid), pause_s=0.01)
    until(lambda: answers(client, query))
    assert [hit.id for hit in client.search(query).hits] == before
    assert stub(server, model) != pid


def test_a_stopped_process_is_replaced(server, client: Client, indexed: list) -> None:
    # The session's server takes fifteen seconds of silence for a hang.
    pid = stub(server, "text_encoder")
    os.kill(pid, signal.SIGSTOP)
    until(lambda: answers(client, indexed[0].captions[0]))
    assert not arguments(pid)


def status(url: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> int:
    request = urllib.request.Request(url, data=body, headers=headers or {})
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_http_answers_for_public_models_alone(server, client: Client) -> None:
    client.wait_ready(120)
    assert status(f"http://{server.address}/v2/health/live") == 200
    assert status(f"http://{server.address}/v2/health/ready") == 200
    # Tests before this one end processes, and a model that was loaded again is asked whether it is ready.
    until(lambda: status(f"http://{server.address}/v2/models/search/ready") == 200)
    assert status(f"http://{server.address}/metrics") == 200
    body = b'{"inputs": [{"name": "text", "shape": [1, 1], "datatype": "UINT8", "data": [97]}]}'
    assert status(f"http://{server.address}/v2/models/search/infer", body) == 400
    for path in (
        "/v2/models/text_encoder/infer",
        "/v2/repository/index",
        "/v2/repository/models/search/load",
        "/v2/systemsharedmemory/region/x/register",
    ):
        assert status(f"http://{server.address}{path}", body) == 404
        assert status(f"http://{server.address}{path}") in (404, 405)
    assert status(f"http://{server.address}/v2/models/text_encoder/ready") == 404


def test_grpc_has_no_calls_that_change_the_server(server) -> None:
    with grpc.InferenceServerClient(server.address) as client:
        for call in (
            client.get_model_repository_index,
            lambda: client.load_model("search"),
            lambda: client.unload_model("search"),
            lambda: client.register_system_shared_memory("region", "/framesift", 64),
            client.get_system_shared_memory_status,
            client.get_cuda_shared_memory_status,
            client.get_log_settings,
            client.get_trace_settings,
        ):
            with pytest.raises(grpc.InferenceServerException, match="there is no method") as caught:
                call()
            assert caught.value.status() == "StatusCode.UNIMPLEMENTED"


def test_steps_can_not_be_called_and_no_model_writes_bytes(server) -> None:
    """One classification request on a BYTES output would end Triton server, so none may exist."""
    steps = {process.model for process in processes.model_processes(server.pid)} - {"gallery_lookup"}
    assert len(steps) == 7
    with grpc.InferenceServerClient(server.address) as client:
        for model in (*steps, "search_ids", "score_ids"):
            for call in (client.get_model_metadata, client.get_model_config, client.is_model_ready):
                with pytest.raises(grpc.InferenceServerException, match="there is no model"):
                    call(model)
        for model in ("index_video", "encode_video", "encode_frames", "gallery_lookup", "search", "score_text"):
            outputs = client.get_model_metadata(model, as_json=True)["outputs"]
            assert all(output["datatype"] != "BYTES" for output in outputs), model


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
