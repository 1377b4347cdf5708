"""A container's start script: the embedded server's door and supervision, with a server and backends of its own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import grpc
import psutil
import pytest

from framesift import Client, Credentials
from framesift.export.bundle.errors import AccessDenied, ServerStartError, ServerUnavailable
from framesift.export.bundle.store import Bundle
from framesift.serving.front.tokens import new_token
from framesift.serving.repository.deploy import deploy
from framesift.serving.server.addresses import choose
from framesift.serving.server.cleanup import SHARED_MEMORY, server_processes
from framesift.serving.server.files import of_image
from framesift.serving.server.processes import model_processes
from framesift.serving.server.secrets import reach_of

from ...waiting import until
from ..certificates import certificates
from .container import Container, environment, image, started

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
HERE = Path(sys.prefix, "bin")
PROBE = "framesift.serving.server.probe"
# The answer of gRPC's health service: a message whose field 1 is SERVING.
SERVING = b"\x08\x01"
# A model's process that died takes two seconds to come back on an idle machine.
PATIENCE_S = 120.0


@pytest.fixture(scope="module")
def deployment(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("deployments") / "demo"
    deploy(bundle, out, "container")
    return out


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Credentials, Credentials]:
    """A folder of secrets, with the credentials of who may index and search, and of who may only search."""
    keys, folder = certificates(tmp_path_factory.mktemp("keys")), tmp_path_factory.mktemp("secrets")
    for kind in ("crt", "key"):
        shutil.copyfile(keys / f"server.{kind}", folder / f"tls.{kind}")
    writer, reader = (
        new_token(folder / "tokens", "-".join(roles), roles) for roles in (("index", "search"), ("search",))
    )
    return folder, Credentials(writer, ca=keys / "ca.crt"), Credentials(reader, ca=keys / "ca.crt")


def model(container: Container, name: str) -> int:
    """The process of a model; 0 for none."""
    found = model_processes(container.pid("tritonserver"))
    return next((process.pid for process in found if process.model == name), 0)


def files_of(deployment: Path) -> list[tuple[Path, int]]:
    """Everything but the bytecode, which the image has from the beginning."""
    return sorted(
        (path, path.stat().st_mtime_ns)
        for path in deployment.rglob("*")
        if (path.is_file() and path.suffix != ".pyc") or "model_repository" in path.parts
    )


def serving(container: Container, ca: bytes) -> bool:
    """What the door answers to a gRPC health probe."""
    with grpc.secure_channel(container.address, grpc.ssl_channel_credentials(ca)) as channel:
        try:
            return channel.unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=30) == SERVING
        except grpc.RpcError:
            return False


@pytest.mark.slow
@pytest.mark.server
@pytest.mark.timeout(600)
def test_what_dies_in_the_container_is_started_again(
    deployment: Path, secrets: tuple[Path, Credentials, Credentials], clips: list, tmp_path: Path
) -> None:
    folder, writer, reader = secrets
    told = environment(
        HERE,
        triton=image(tmp_path / "tritonserver", deployment, PYTHON),
        gallery=tmp_path / "gallery",
        secrets=folder,
        port=choose("127.0.0.1", None),
        access_log=tmp_path / "access.log",
        log_texts=1,
        log_format="json",
    )
    before = files_of(deployment)
    assert reader.ca is not None
    ca = Path(reader.ca).read_bytes()
    with started(deployment, told, tmp_path / "log") as container:
        assert container.address == f"127.0.0.1:{told['FRAMESIFT_PORT']}"
        heaps = Path(f"/proc/{container.pid('tritonserver')}/environ").read_bytes().split(b"\0")
        assert b"MALLOC_ARENA_MAX=1" in heaps
        with Client(container.address, credentials=writer) as client:
            for clip in clips[:3]:
                last = client.index(clip.video, id=clip.video.name)
            client.wait_searchable(last)
        with Client(container.address, credentials=reader, timeout_s=PATIENCE_S) as client:
            with pytest.raises(AccessDenied):
                client.index(clips[3].video)

            def found() -> list[str]:
                """What a search finds; nothing while a server is loading, which takes longer beside others' work."""
                try:
                    return [hit.id for hit in client.search(clips[1].captions[0], top=3).hits]
                except ServerUnavailable:
                    return []

            expected = found()
            assert expected[0] == clips[1].video.name
            assert serving(container, ca)
            # A probe waits for two seconds, which are soon over where others have the processors.
            until(lambda: container.command(PROBE) == container.command(PROBE, "live") == 0)
            for pid in (
                lambda: container.pid("tritonserver"),
                lambda: container.pid("door"),
                lambda: model(container, "text_encoder"),
            ):
                killed = pid()
                os.kill(killed, signal.SIGKILL)
                until(lambda pid=pid, killed=killed: pid() not in (0, killed))
                until(lambda: found() == expected)
            until(lambda: serving(container, ca))
        mark, run = container.mark, container.run
        with ThreadPoolExecutor(4) as pool:
            over, answered = threading.Event(), list[float]()
            text = clips[1].captions[0]
            callers = [pool.submit(searched, container.address, reader, text, over, answered) for _ in range(4)]
            # All of them are at it by then.
            until(lambda: len(answered) > 40)
            begun = time.monotonic()
            container.process.terminate()
            # Sooner than a container is killed.
            assert container.process.wait(30) == 0
            over.set()
        # What was let in was answered, and nothing else than that nobody is there was told to others.
        for caller in callers:
            caller.result()
        assert begun < max(answered)
        assert container.command(PROBE) == 1
    for line in (tmp_path / "log").read_text().splitlines():
        assert {"time", "level", "message"} <= json.loads(line).keys()
    lines = [json.loads(line) for line in (tmp_path / "access.log").read_text().splitlines()]
    assert clips[1].captions[0] in [text for line in lines for text in line.get("texts", ())]
    assert not run.exists()
    assert not server_processes(mark.encode())
    assert not [path for path in SHARED_MEMORY.iterdir() if path.name.startswith(mark)]
    # In the image nothing of it can be written.
    assert files_of(deployment) == before


def searched(address: str, credentials: Credentials, text: str, over: threading.Event, answered: list[float]) -> None:
    """Note when one search after another was answered, until that is over; one that is refused can be tried again."""
    with Client(address, credentials=credentials, timeout_s=PATIENCE_S, retry=False) as client:
        while not over.is_set():
            try:
                assert client.search(text, top=3).hits
                answered.append(time.monotonic())
            except ServerUnavailable:
                over.wait(0.02)


@pytest.mark.slow
@pytest.mark.server
def test_one_that_is_still_loading_ends_at_once(deployment: Path, tmp_path: Path) -> None:
    told = environment(
        HERE,
        triton=image(tmp_path / "tritonserver", deployment, PYTHON),
        gallery=tmp_path / "gallery",
        insecure=1,
        host="127.0.0.1",
        port=choose("127.0.0.1", None),
    )
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen([deployment / "start.sh"], env=told, stdout=log, stderr=log)
    seen = psutil.Process(process.pid)

    def loading() -> bool:
        # Others come and go meanwhile.
        with suppress(psutil.NoSuchProcess):
            return any("tritonserver" in child.name() for child in seen.children(recursive=True))
        return False

    until(loading)
    family = seen.children(recursive=True)
    process.terminate()
    assert process.wait(60) == 128 + signal.SIGTERM
    assert psutil.wait_procs(family, timeout=60)[1] == []
    assert "ready" not in (tmp_path / "log").read_text()


def refused(deployment: Path, told: dict[str, str]) -> str:
    """What a start.sh says that does not start."""
    run = subprocess.run([deployment / "start.sh"], env=told, capture_output=True, text=True, check=False, timeout=120)
    assert run.returncode == 1, run.stdout
    assert "Traceback" not in run.stderr
    return run.stderr


def test_nothing_is_open_without_tokens_and_tls(deployment: Path, tmp_path: Path) -> None:
    told = environment(
        HERE,
        triton=image(tmp_path / "tritonserver", deployment, PYTHON),
        gallery=tmp_path / "gallery",
        secrets=tmp_path / "none",
        port=choose("127.0.0.1", None),
    )
    said = refused(deployment, told)
    assert "listening on 0.0.0.0 would let others call" in said
    assert f"tls.crt and tls.key into {tmp_path / 'none'}, or say FRAMESIFT_INSECURE=1" in said


def test_a_server_that_is_not_laid_out_as_the_images_is_refused(deployment: Path, tmp_path: Path) -> None:
    told = environment(HERE, triton=tmp_path, gallery=tmp_path / "gallery")
    assert "there is no bin/tritonserver in" in refused(deployment, told)
    assert not (tmp_path / "gallery").exists()
    image(tmp_path / "t", deployment, PYTHON)
    assert of_image(tmp_path / "t").options == ()
    assert of_image(tmp_path / "t", "accelerated").options == ("--model-config-name=accelerated",)
    shutil.rmtree(tmp_path / "t/backends/onnxruntime")
    with pytest.raises(ServerStartError, match="no backends/onnxruntime in"):
        of_image(tmp_path / "t")


@pytest.mark.parametrize("name", ["tls.crt", "tls.key", "clients.crt"])
def test_half_of_a_certificate_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / name).touch()
    with pytest.raises(ServerStartError, match="TLS needs tls.crt and tls.key"):
        reach_of(tmp_path, "0.0.0.0", 8001, insecure=False)
