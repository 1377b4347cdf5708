"""Starting and stopping: nothing is left behind, nothing listens where it should not, and refusals say why."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from framesift.export.bundle.errors import GalleryMismatch, ServerStartError
from framesift.export.bundle.store import Bundle
from framesift.serving.gallery.store import Gallery
from framesift.serving.repository.deploy import deploy
from framesift.serving.serve import running
from framesift.serving.server.addresses import choose
from framesift.serving.server.door import Reach
from framesift.serving.server.embedded import EmbeddedServer
from framesift.serving.server.processes import model_processes

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def repository(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python model and a graph of the model repository: they start quicker than all, and several may run at once."""
    path = deploy(bundle, tmp_path_factory.mktemp("deployment") / "demo", "embedded")
    for model in path.iterdir():
        if model.name not in {"video_decoder", "text_encoder"}:
            shutil.rmtree(model)
    return path


def carrying(prefix: str) -> list[str]:
    """Processes with ``prefix`` among their arguments."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            arguments = path.read_bytes()
        except OSError:
            continue
        if b"\0" + prefix.encode() in arguments:
            found.append(arguments.replace(b"\0", b" ").decode())
    return found


def test_stop_leaves_nothing_behind(repository: Path, tmp_path: Path) -> None:
    server = EmbeddedServer(repository, run_dir=tmp_path / "run")
    with server:
        prefix = server.shared_memory_prefix
        assert server.alive
        assert carrying(prefix)
        assert [name for name in os.listdir("/dev/shm") if name.startswith(prefix)]
    assert not server.alive
    assert not [name for name in os.listdir("/dev/shm") if name.startswith(prefix)]
    assert not carrying(prefix)


def test_two_servers_at_once_and_a_taken_port(repository: Path, server, bundle: Bundle) -> None:
    with EmbeddedServer(repository) as second:
        assert second.triton_socket != server.triton_socket
        taken = int(server.address.rpartition(":")[2])
        with pytest.raises(ServerStartError, match="is another server running there"):
            EmbeddedServer(repository, deployment=bundle.root, reach=Reach(port=taken)).start()
        assert second.alive
    assert server.alive


def listening(pid: int) -> set[str]:
    """Addresses and ports, as the kernel prints them, on which a process listens."""
    inodes = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            inodes.add(os.readlink(entry))
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in inodes:
                found.add(fields[1])
    return found


def test_the_door_listens_on_one_port_of_the_loopback_and_nothing_else_listens(server) -> None:
    port = int(server.address.rpartition(":")[2])
    assert listening(server.door_pid) == {f"0100007F:{port:04X}"}
    assert listening(server.pid) == set()
    assert all(listening(process.pid) == set() for process in model_processes(server.pid))
    assert stat.S_IMODE(server.triton_socket.parent.stat().st_mode) == 0o700
    assert stat.S_ISSOCK(server.triton_socket.stat().st_mode)
    shared = list(Path("/dev/shm").glob(f"{server.shared_memory_prefix}*"))
    assert shared
    assert {stat.S_IMODE(path.stat().st_mode) & 0o077 for path in shared} == {0}


def test_a_model_that_does_not_load_is_named(repository: Path, tmp_path: Path) -> None:
    shutil.copytree(repository, tmp_path / "repository")
    (tmp_path / "repository/text_encoder/1/model.onnx").write_bytes(b"not a graph")
    with pytest.raises(ServerStartError) as caught:
        EmbeddedServer(tmp_path / "repository", run_dir=tmp_path / "run").start()
    assert "text_encoder" in str(caught.value)
    assert "can't be opened by ONNX Runtime" in str(caught.value)
    assert len(str(caught.value)) < 4000


def test_a_gallery_of_another_model_is_refused_before_the_start(bundle: Bundle, tmp_path: Path) -> None:
    from dataclasses import replace

    other = replace(bundle.manifest, fingerprint="f" * 64)
    Gallery.open(tmp_path / "gallery", other).close()
    with pytest.raises(GalleryMismatch) as caught, running(bundle, tmp_path / "gallery"):
        pass
    assert "f" * 12 in str(caught.value)
    assert bundle.manifest.fingerprint[:12] in str(caught.value)


def test_serve_stops_on_ctrl_c_with_status_0(bundle: Bundle, tmp_path: Path) -> None:
    # None of those that the kernel gives away, while the models load.
    port = str(choose("127.0.0.1", None))
    command = [
        sys.executable,
        "-m",
        "framesift",
        "serve",
        str(bundle.root),
        "--gallery",
        str(tmp_path / "g"),
        "--port",
        port,
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=tmp_path)
    assert process.stdout is not None
    seen = []
    for line in process.stdout:
        seen.append(line)
        if "Ctrl-C" in line:
            break
    assert f"gRPC 127.0.0.1:{port}" in "".join(seen)
    process.send_signal(signal.SIGINT)
    rest, _ = process.communicate(timeout=120)
    assert process.returncode == 0, rest
