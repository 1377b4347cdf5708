"""The container on a Ray cluster: nodes as the chart starts them, start.sh and index.sh as pods run them."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import grpc
import psutil
import pytest

from framesift import Client
from framesift.export.bundle.store import Bundle
from framesift.serving.gallery.shard import Shard
from framesift.serving.repository.deploy import deploy
from framesift.serving.server.addresses import choose

from ...waiting import LIMIT_S, until
from ..indexing.records import records
from ..repository.charts import objects, pods, sharded, with_
from ..server.container import environment, image, started

pytestmark = [pytest.mark.slow, pytest.mark.server, pytest.mark.timeout(900)]

SHARDS = 2
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
HERE = Path(sys.prefix, "bin")
SERVING = b"\x08\x01"


@dataclass
class Nodes:
    """A cluster with a head and a worker, started as the chart does it, on ports of their own."""

    head: int
    raylets: list[int]
    environment: Mapping[str, str]

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.head}"


def free() -> int:
    """A port that Ray gives none of its workers."""
    while (port := choose("127.0.0.1", None)) < 20_000:
        pass
    return port


def healthy(port: int) -> bool:
    """What a kubelet's probe of this port finds, which shows no token."""
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        try:
            return channel.unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=5) == SERVING
        except grpc.RpcError:
            return False


@contextmanager
def node(arguments: list[str], env: Mapping[str, str], log: Path, ports: Sequence[int]) -> Iterator[None]:
    """A node of the cluster, once these ports are healthy."""
    with log.open("w") as output:
        command = [HERE / "ray", "start", "--block", *arguments]
        process = subprocess.Popen(command, env={**os.environ, **env}, stdout=output, stderr=output)

    def whole() -> bool:
        assert process.poll() is None, log.read_text()
        return all(map(healthy, ports))

    try:
        until(whole, pause_s=0.2)
        yield
    finally:
        family = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for left in psutil.wait_procs(family, timeout=10)[1]:
            with suppress(psutil.NoSuchProcess):
                left.kill()


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    made = pods(objects(with_(sharded("statefulset"), "cluster.objectStore", 80)))
    folder = tmp_path_factory.mktemp("nodes")
    # Ray's sockets lie there, whose paths may not be long.
    temporary = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))
    token = folder / "token"
    token.write_text(secrets.token_hex(32))
    env = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token), "RAY_USAGE_STATS_ENABLED": "0"}
    head, raylets = free(), [free() for _ in range(2)]

    def arguments(role: str, raylet: int) -> list[str]:
        own = {"node-manager-port": raylet, "object-manager-port": free(), "port": head}
        (container,) = made[role]["containers"]
        found = []
        for option in container["args"]:
            name, _, value = option.removeprefix("--").partition("=")
            value = str(own.get(name, value)) if name != "address" else f"127.0.0.1:{head}"
            found.append(f"--{name}={value}" if value else option)
        return [*found, f"--temp-dir={temporary}"] if role == "head" else found

    try:
        with ExitStack() as stack:
            stack.enter_context(node(arguments("head", raylets[0]), env, folder / "head.log", [head, raylets[0]]))
            stack.enter_context(node(arguments("worker", raylets[1]), env, folder / "worker.log", raylets[1:]))
            yield Nodes(head, raylets, env)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@pytest.fixture(scope="module")
def deployment(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("deployments") / "demo"
    deploy(bundle, out, "container")
    return out


def test_jobs_fill_a_shard_each_on_the_cluster(nodes: Nodes, deployment: Path, clips: list, tmp_path: Path) -> None:
    films = tmp_path / "films"
    films.mkdir()
    for clip in clips[:8]:
        shutil.copyfile(clip.video, films / clip.video.name)

    def job(gallery: str, **told: str) -> str:
        env = {**environment(HERE), **nodes.environment, "HOME": str(tmp_path)}
        env |= {"FRAMESIFT_GALLERY": str(tmp_path / gallery), **told}
        command = ["bash", str(deployment / "index.sh"), "--jobs", "1", "films"]
        run = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stderr
        return run.stdout

    shared = {"FRAMESIFT_CLUSTER": nodes.address, "FRAMESIFT_OBJECT_STORE": "80"}
    for part in range(SHARDS):
        job("parts", JOB_COMPLETION_INDEX=str(part), FRAMESIFT_SHARDS=str(SHARDS), FRAMESIFT_SHARDED="1", **shared)
    job("whole")
    found = [records(tmp_path / "parts" / f"shard-{part}") for part in range(SHARDS)]
    assert {**found[0], **found[1]} == records(tmp_path / "whole")
    for part, held in enumerate(found):
        assert held
        assert all(Shard(part, SHARDS).has(id_) for id_ in held)
    # A gallery that is there is split by the same script.
    job("split", FRAMESIFT_SPLIT=str(tmp_path / "whole"), FRAMESIFT_SHARDS=str(SHARDS))
    assert [records(tmp_path / "split" / f"shard-{part}") for part in range(SHARDS)] == found


def test_a_container_is_a_node_and_ends_with_it(nodes: Nodes, deployment: Path, clips: list, tmp_path: Path) -> None:
    told = environment(
        HERE,
        triton=image(tmp_path / "tritonserver", deployment, PYTHON),
        gallery=tmp_path / "gallery",
        secrets=tmp_path / "none",
        host="127.0.0.1",
        port=choose("127.0.0.1", None),
        cluster=nodes.address,
        cluster_shards=SHARDS,
        shard_deadline=20,
        object_store=80,
    )
    told |= {**nodes.environment, "HOME": str(tmp_path)}
    for end in ("terminated", "its node is killed"):
        with started(deployment, told, tmp_path / "log") as container:
            process = psutil.Process(container.process.pid)
            own = next(child for child in process.children() if "ray.scripts.scripts" in child.cmdline())
            with Client(container.address, timeout_s=120) as client:
                last = client.index(clips[1].video, id=end)
                client.wait_searchable(last, LIMIT_S)
                found = client.search(clips[1].captions[0], partial=True)
                assert end in [hit.id for hit in found.hits]
                # Of a gallery in shards.
                assert found.missing == ()
            family = process.children(recursive=True)
            if end == "terminated":
                container.process.send_signal(signal.SIGTERM)
            else:
                own.kill()
            assert container.process.wait(LIMIT_S) == (0 if end == "terminated" else 1)
            _, alive = psutil.wait_procs(family, timeout=LIMIT_S)
            assert alive == []
    assert sorted(path.name for path in (tmp_path / "gallery").iterdir() if path.is_dir()) == ["shard-0", "shard-1"]
    # Without the token nobody becomes a node.
    stranger = {**told, "RAY_AUTH_TOKEN_PATH": str(tmp_path / "other")}
    (tmp_path / "other").write_text("f" * 64)
    run = subprocess.run(
        [deployment / "start.sh"], env=stranger, capture_output=True, text=True, check=False, timeout=300
    )
    assert run.returncode == 1
    assert f"can't become a node of the Ray cluster at {nodes.address}" in run.stderr
