"""Refusals before and during the start, and who may end the server."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from framesift.export.bundle.errors import ServerError, ServerStartError
from framesift.serving.front.supervision import Supervision
from framesift.serving.server.addresses import choose
from framesift.serving.server.admin import Admin
from framesift.serving.server.cleanup import SHARED_MEMORY, server_processes
from framesift.serving.server.door import Reach
from framesift.serving.server.embedded import EmbeddedServer
from framesift.serving.server.files import of_wheel
from framesift.serving.server.processes import arguments, model_processes
from framesift.serving.server.watchdog import Restarts

from ...waiting import until
from ..behind import all_loaded

MODELS = Path(__file__).parent / "models"
# Starts a server whose one model is stuck in a request, says who is who, and goes on.
LAUNCHER = """
import sys, time
import numpy as np
import tritonclient.grpc as grpc
from framesift.serving.server.embedded import EmbeddedServer
socket = sys.argv[2]
arguments = ["--allow-grpc=true", f"--grpc-address=unix:{socket}", "--grpc-port=1"]
server = EmbeddedServer(sys.argv[1], extra_args=arguments).start()
tensor = grpc.InferInput("x", [1], "FP32")
tensor.set_data_from_numpy(np.array([3600], np.float32))
client = grpc.InferenceServerClient(f"unix:{socket}:1")
client.async_infer("sleeper", [tensor], lambda result, error: None)
time.sleep(0.5)
print(server.pid, server.shared_memory_prefix, server.log_path.parent, flush=True)
time.sleep(600)
"""


def repository_of(folder: Path, *models: str) -> Path:
    for model in models:
        shutil.copytree(MODELS / model, folder / "repository" / model)
    return folder / "repository"


def left(mark: str) -> list[str]:
    """What is left of a run: its shared memory, and the command lines of its processes."""
    shared = [path.name for path in SHARED_MEMORY.iterdir() if path.name.startswith(mark)]
    return shared + [b" ".join(arguments(pid)).decode() for pid in server_processes(mark.encode())]


def refusal(start: Callable[[], object]) -> str:
    with pytest.raises(ServerStartError) as caught:
        start()
    return str(caught.value)


def test_paths_that_a_shell_would_split_are_refused_before_anything_starts(tmp_path: Path) -> None:
    assert "' '" in refusal(lambda: EmbeddedServer(tmp_path / "with space"))
    assert "'$'" in refusal(lambda: EmbeddedServer(tmp_path, run_dir=tmp_path / "price $"))
    repository = repository_of(tmp_path, "plain")
    (repository / "plain").rename(repository / "my model")
    assert "a model's folder" in refusal(EmbeddedServer(repository, run_dir=tmp_path / "run").start)


def test_a_repository_must_be_there_and_hold_models(tmp_path: Path) -> None:
    assert "there is no model repository at" in refusal(EmbeddedServer(tmp_path / "absent").start)
    assert "holds no model" in refusal(EmbeddedServer(tmp_path).start)


def test_hosts_and_ports_that_can_not_be_listened_on_are_refused(tmp_path: Path) -> None:
    repository = repository_of(tmp_path, "plain")

    def refused(**options: Any) -> str:
        server = EmbeddedServer(repository, deployment=tmp_path, reach=Reach(**options))
        told = refusal(server.start)
        assert not server.log_path.parent.exists()
        return told

    # An address of the documentation's, which no machine has.
    assert "can't listen on 192.0.2.1" in refused(host="192.0.2.1")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert f"127.0.0.1:{port}" in refused(port=port)


def test_a_folder_whose_sockets_would_have_too_long_a_path_is_refused(tmp_path: Path) -> None:
    assert "more than 107 bytes" in refusal(lambda: EmbeddedServer(tmp_path, run_dir=tmp_path / ("long" * 30)))


def test_a_free_port_is_below_those_of_outgoing_connections() -> None:
    first_outgoing = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    assert choose("127.0.0.1", 20002) == 20002
    assert choose("127.0.0.1", None) < first_outgoing


def test_a_model_that_had_been_serving_comes_back_at_once_and_one_that_fails_later_and_later() -> None:
    restarts = Restarts()
    for _ in range(10):
        assert restarts.due(1000.0), "each time that it had been serving"
        restarts.ended = 1000.0
    for failed, pause in ((1, 1), (2, 2), (3, 4), (9, 60), (50, 60)):
        restarts.failed, restarts.ended = failed, 1000.0
        assert not restarts.due(1000.0 + pause - 0.1)
        assert restarts.due(1000.0 + pause + 0.1)
    restarts.failed = 0
    restarts.running = True
    assert not restarts.due(5000.0)


# Fails as Triton server was seen to, as often as is asked for, and is Triton server from then on.
FAILING = """#!/bin/sh
echo x >> {starts}
if [ $(wc -l < {starts}) -le {failures} ]; then
    echo "  what():  boost::interprocess::lock_exception" >&2
    kill -ABRT $$
fi
exec {binary} "$@"
"""


@pytest.mark.server
@pytest.mark.parametrize("failures", [1, 9])
def test_a_start_that_fails_over_shared_memory_is_tried_again_and_not_for_ever(tmp_path: Path, failures: int) -> None:
    files, starts = of_wheel(), tmp_path / "starts"
    binary = tmp_path / "tritonserver"
    binary.write_text(FAILING.format(starts=starts, failures=failures, binary=files.binary))
    binary.chmod(0o700)
    server = EmbeddedServer(repository_of(tmp_path, "plain"), files=replace(files, binary=binary))
    if failures == 1:
        with server:
            assert server.pid
    else:
        assert "lock_exception" in refusal(server.start)
    # Triton server itself may fail so, too.
    assert min(failures + 1, 3) <= len(starts.read_text().splitlines()) <= 3
    assert not left(server.shared_memory_prefix)


@pytest.mark.server
def test_every_model_that_does_not_load_is_named_with_its_reason(tmp_path: Path) -> None:
    repository = repository_of(tmp_path, "plain", "fragile")
    shutil.copytree(repository / "fragile", repository / "defective")
    config = (repository / "defective/config.pbtxt").read_text().replace("fragile", "defective")
    (repository / "defective/config.pbtxt").write_text(config)
    (repository / "fragile/broken").touch()
    (repository / "defective/wrong").touch()
    (repository / "unreadable").mkdir()
    (repository / "unreadable/config.pbtxt").write_text("colour: blue")
    server = EmbeddedServer(repository)
    told = refusal(server.start)
    assert "fragile: [bundle] it is broken: mend it" in told
    assert "defective: [error] internal error in defective: KeyError: 'a defect'" in told
    assert 'no field named "colour"' in told
    assert len(told) < 1500
    assert "CudaDriverHelper" not in told
    assert str(server.log_path) in told
    assert "Traceback" in server.log_path.read_text()
    assert left(server.shared_memory_prefix) == []
    shutil.rmtree(server.log_path.parent)


@pytest.mark.server
def test_a_model_that_hangs_while_it_loads_costs_no_more_than_the_deadline(tmp_path: Path) -> None:
    repository = repository_of(tmp_path, "fragile")
    (repository / "fragile/stuck").touch()
    server = EmbeddedServer(repository, run_dir=tmp_path / "run", start_deadline_s=2)
    assert "not ready within 2 s" in refusal(server.start)
    assert not server.alive
    assert left(server.shared_memory_prefix) == []


@pytest.mark.server
def test_the_thread_that_started_it_may_end_and_a_forked_child_may_stay(tmp_path: Path) -> None:
    server = EmbeddedServer(repository_of(tmp_path, "plain"))
    thread = threading.Thread(target=server.start)
    thread.start()
    thread.join()
    time.sleep(1)
    assert server.alive
    assert model_processes(server.pid)
    # The child holds a copy of every pipe of this process, as a forked worker of a data loader does.
    child = os.fork()
    if child == 0:
        # Longer than a test may take: who waits for its end waits in vain.
        time.sleep(600)
        os._exit(0)
    try:
        server.stop()
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert left(server.shared_memory_prefix) == []
    assert not server.log_path.parent.exists()
    server.wait()


@pytest.mark.server
def test_a_server_that_is_killed_is_started_again_each_time_at_once(tmp_path: Path) -> None:
    with EmbeddedServer(repository_of(tmp_path, "plain", "sleeper"), first=["plain"]) as server:
        for _ in range(3):
            killed = server.pid
            os.kill(killed, signal.SIGKILL)
            until(lambda killed=killed: server.pid not in (killed, 0))
            until(Admin(server.triton_socket).ready)
            # What it does not load first it loads later, and what the one before left is gone.
            until(lambda: all_loaded(server))
            assert {process.model for process in model_processes(server.pid)} == {"plain", "sleeper"}
        assert server.alive
        mark = server.shared_memory_prefix
        shared = {path.name.removeprefix(mark).split("-")[0] for path in SHARED_MEMORY.glob(f"{mark}*")}
        # The fourth, but for starts that failed.
        assert shared == {"owner", str(1 + Supervision(server.log_path.parent).restarts["tritonserver"])}
    assert left(server.shared_memory_prefix) == []


@pytest.mark.server
def test_waiting_for_a_run_whose_keeper_dies_raises(tmp_path: Path) -> None:
    with EmbeddedServer(repository_of(tmp_path, "plain")) as server:
        triton = server.pid
        os.kill(int(Path(f"/proc/{triton}/stat").read_text().rpartition(")")[2].split()[1]), signal.SIGKILL)
        with pytest.raises(ServerError, match=r"ended by itself \(status -9\)"):
            server.wait()
        assert not server.alive
        until(lambda: not arguments(triton))
    until(lambda: not left(server.shared_memory_prefix), told=lambda: left(server.shared_memory_prefix))


@pytest.mark.server
def test_nothing_outlives_a_launcher_that_is_killed(tmp_path: Path) -> None:
    launcher, _, mark, folder = launch(repository_of(tmp_path, "sleeper"))
    os.kill(launcher.pid, signal.SIGKILL)
    launcher.wait()
    until(lambda: not left(mark), told=lambda: left(mark))
    assert not Path(folder).exists()


@pytest.mark.server
def test_a_killed_keeper_takes_the_server_along_and_the_next_start_sweeps_up(tmp_path: Path) -> None:
    launcher, pid, mark, folder = launch(repository_of(tmp_path, "sleeper"))
    (keeper,) = [int(child) for child in Path(f"/proc/{launcher.pid}/task/{launcher.pid}/children").read_text().split()]
    os.kill(keeper, signal.SIGKILL)
    os.kill(launcher.pid, signal.SIGKILL)
    launcher.wait()
    until(lambda: not arguments(pid))
    # Whichever start comes next, this one or another process': the other may still be at it.
    with EmbeddedServer(repository_of(tmp_path / "next", "plain")) as server:
        until(lambda: not left(mark), told=lambda: left(mark))
        assert left(server.shared_memory_prefix)
    shutil.rmtree(folder)


def launch(repository: Path) -> tuple[subprocess.Popen, int, str, str]:
    """A launcher of its own; returns it, the server's process id, the run's mark and its folder."""
    launcher = subprocess.Popen(
        [sys.executable, "-c", LAUNCHER, str(repository), str(repository.parent / "g")],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert launcher.stdout is not None
    pid, mark, folder = launcher.stdout.readline().split()
    assert left(mark)
    return launcher, int(pid), mark, folder


def test_a_large_gallery_has_more_time_to_load(tmp_path: Path) -> None:
    gallery = tmp_path / "gallery"
    (gallery / "data").mkdir(parents=True)
    (tmp_path / "link").symlink_to(gallery)
    server = EmbeddedServer(repository_of(tmp_path, "plain"), run_dir=tmp_path / "run", loads=[tmp_path / "link"])
    before = server._deadline_s()
    with (gallery / "data" / "rows").open("wb") as file:
        file.truncate(2000 << 20)
    assert server._deadline_s() == pytest.approx(before + 100)
