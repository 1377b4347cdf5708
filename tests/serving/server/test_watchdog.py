"""Model processes that die, hang or can't come back, and models that were unloaded on purpose."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tritonclient.grpc as grpc

from framesift.serving.backends import heartbeat
from framesift.serving.server.embedded import EmbeddedServer
from framesift.serving.server.processes import arguments, model_processes

from ...waiting import until
from ..behind import opened

pytestmark = pytest.mark.server

MODELS = Path(__file__).parent / "models"
HANG_AFTER_S = 2.0


@pytest.fixture(scope="module")
def running(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[EmbeddedServer, grpc.InferenceServerClient]]:
    repository = tmp_path_factory.mktemp("repository")
    for name in ("sleeper", "greedy", "plain", "fragile"):
        shutil.copytree(MODELS / name, repository / name)
    socket = tmp_path_factory.mktemp("socket")
    with opened(socket, repository, hang_after_s=HANG_AFTER_S) as both:
        yield both


@pytest.fixture
def watched(running: tuple[EmbeddedServer, grpc.InferenceServerClient]) -> EmbeddedServer:
    return running[0]


@pytest.fixture
def client(running: tuple[EmbeddedServer, grpc.InferenceServerClient]) -> grpc.InferenceServerClient:
    return running[1]


def ask(client: grpc.InferenceServerClient, model: str, value: float = 0, timeout_s: float = 60) -> float:
    tensor = grpc.InferInput("x", [1], "FP32")
    tensor.set_data_from_numpy(np.array([value], np.float32))
    return float(client.infer(model, [tensor], client_timeout=timeout_s).as_numpy("y")[0])


def send(client: grpc.InferenceServerClient, model: str, value: float) -> None:
    """Send a request without waiting for its answer."""
    tensor = grpc.InferInput("x", [1], "FP32")
    tensor.set_data_from_numpy(np.array([value], np.float32))
    client.async_infer(model, [tensor], lambda result, error: None, client_timeout=30)


def pids(server: EmbeddedServer, model: str) -> list[int]:
    return [process.pid for process in model_processes(server.pid) if process.model == model]


def busy(server: EmbeddedServer, pid: int) -> bool:
    """Whether a process is in an execution."""
    return any(beat.pid == pid and beat.busy_since for beat in heartbeat.read(server.log_path.parent / "heartbeats"))


def answers(client: grpc.InferenceServerClient, model: str) -> bool:
    try:
        ask(client, model, timeout_s=2)
    except grpc.InferenceServerException:
        return False
    return True


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    until(lambda: not arguments(pid))


def test_a_killed_process_comes_back_again_and_again(
    watched: EmbeddedServer, client: grpc.InferenceServerClient
) -> None:
    for _ in range(2):
        (pid,) = pids(watched, "sleeper")
        kill(pid)
        until(lambda: answers(client, "sleeper"))
        assert pids(watched, "sleeper") != [pid]
    log = watched.log_path.read_text()
    assert "framesift watchdog: a process of sleeper has died: loading the model again" in log
    assert "framesift watchdog: sleeper is back after" in log


def test_one_of_two_processes_of_any_model_is_replaced(
    watched: EmbeddedServer, client: grpc.InferenceServerClient
) -> None:
    before = pids(watched, "plain")
    assert len(before) == 2
    kill(before[0])

    # A request that met the dead process would make the server keep the other old one, so none is sent before both
    # are new.
    def whole() -> bool:
        now = pids(watched, "plain")
        return len(now) == 2 and not set(before) & set(now) and all(answers(client, "plain") for _ in range(8))

    until(whole)


def test_processes_that_hang_are_replaced(watched: EmbeddedServer, client: grpc.InferenceServerClient) -> None:
    written = len(watched.log_path.read_text())
    hung = {model: pids(watched, model)[0] for model in ("sleeper", "greedy", "fragile")}
    # An endless execution; one that lets no other thread of its process run; and a process that does not run at all.
    send(client, "sleeper", 3600)
    send(client, "greedy", 3600)
    os.kill(hung["fragile"], signal.SIGSTOP)
    # Else what is asked below might come first. Where this thread is late, they may be ended already.
    both = [hung["sleeper"], hung["greedy"]]
    until(lambda: all(busy(watched, pid) or not arguments(pid) for pid in both), pause_s=0.01)
    assert ask(client, "plain"), "the other models answer meanwhile"
    for model, pid in hung.items():
        until(lambda model=model: answers(client, model))
        assert pid not in pids(watched, model)
    log = watched.log_path.read_text()[written:]
    assert "a process of sleeper has been in one execution for 2 s: killing it" in log
    assert "a process of greedy has" in log
    assert "a process of fragile has given no sign of life for 2 s: killing it" in log


def test_requests_that_take_their_time_but_not_too_long_are_left_alone(
    watched: EmbeddedServer, client: grpc.InferenceServerClient
) -> None:
    before = pids(watched, "sleeper")
    assert [ask(client, "sleeper", 1.25) for _ in range(2)] == [1.25] * 2
    assert pids(watched, "sleeper") == before


def test_a_model_that_does_not_load_is_tried_less_and_less_and_comes_back(
    watched: EmbeddedServer, client: grpc.InferenceServerClient
) -> None:
    written = len(watched.log_path.read_text())
    broken = watched.repository / "fragile/broken"
    broken.touch()
    began = time.monotonic()
    kill(pids(watched, "fragile")[0])

    def failures() -> int:
        return watched.log_path.read_text()[written:].count("fragile did not load again")

    until(lambda: failures() >= 3)
    # A second behind the first, and two behind the next. When each was seen says nothing: this thread may be late.
    assert time.monotonic() - began > 3
    assert "[bundle] it is broken: mend it" in watched.log_path.read_text()[written:]
    assert ask(client, "sleeper") == 0
    broken.unlink()
    until(lambda: answers(client, "fragile"))


def test_an_unloaded_model_stays_unloaded(watched: EmbeddedServer, client: grpc.InferenceServerClient) -> None:
    client.unload_model("greedy")
    until(lambda: not pids(watched, "greedy"))
    written = len(watched.log_path.read_text())
    time.sleep(1.5)
    assert not pids(watched, "greedy")
    assert "a process of greedy has died" not in watched.log_path.read_text()[written:]
    client.load_model("greedy")
    assert ask(client, "greedy") == 0


def test_a_new_version_is_watched_instead_of_the_old(
    watched: EmbeddedServer, client: grpc.InferenceServerClient
) -> None:
    models = watched.repository / "greedy"
    shutil.copytree(models / "1", models / "2")
    client.load_model("greedy")
    until(lambda: [p.version for p in model_processes(watched.pid) if p.model == "greedy"] == ["2"])
    written = len(watched.log_path.read_text())
    time.sleep(1.5)
    assert "a process of greedy has died" not in watched.log_path.read_text()[written:]
    kill(pids(watched, "greedy")[0])
    until(lambda: answers(client, "greedy"))
    assert [process.version for process in model_processes(watched.pid) if process.model == "greedy"] == ["2"]
