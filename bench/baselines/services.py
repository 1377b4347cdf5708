"""The services that are compared, and their processes."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from tritonclient.grpc import InferenceServerClient
from tritonclient.utils import InferenceServerException

from ...export.bundle.errors import ServerStartError
from ...serving.client.sync import Client
from ...serving.serve import running
from ...serving.server.run_folder import libpython
from ..inputs.corpus import Corpus
from ..load.sources import Searches, Searching
from .parent import PARENT_VARIABLE
from .sources import PYTRITON_MODEL, HttpSearches, PytritonSearches

FRAMESIFT, EAGER, HUGGING_FACE = "framesift", "eager-fastapi", "hf-faiss-fastapi"
GRPC_AIO, PYTRITON = "grpc-aio", "pytriton"
_START_S = 120.0
_STOP_S = 15.0
# PyTriton's server listens on three ports.
_PORTS = 3


@dataclass(frozen=True)
class Service:
    """One way to serve the search.

    Attributes:
        source: makes the searches that it is sent, of queries.
        module: of this folder, runnable with ``FOLDER --port P``; None for framesift's own server.
        needs: the libraries without which it can't run.
        same_scores: whether it scores with the same formula, so that its results must be equal.
    """

    name: str
    what: str
    source: Callable[[Sequence[str]], Searching]
    module: str | None = None
    needs: tuple[str, ...] = ()
    same_scores: bool = True


SERVICES = {
    service.name: service
    for service in (
        Service(FRAMESIFT, "framesift on its embedded Triton server", Searches),
        Service(
            EAGER,
            "eager PyTorch, the published formula, FastAPI",
            HttpSearches,
            "eager_fastapi",
            ("fastapi", "uvicorn", "aiohttp"),
        ),
        Service(
            HUGGING_FACE,
            "transformers' CLIP, 77 tokens, mean pooling, FAISS, FastAPI",
            HttpSearches,
            "faiss_fastapi",
            ("fastapi", "uvicorn", "aiohttp", "transformers", "faiss"),
            same_scores=False,
        ),
        Service(GRPC_AIO, "framesift's engines behind grpc.aio", Searches, "grpc_service"),
        Service(PYTRITON, "framesift's engines under PyTriton", PytritonSearches, "pytriton_service", ("pytriton",)),
    )
}


def demand_libraries(services: list[Service]) -> None:
    """Import what the services need, so that a missing library is named before anything starts.

    Raises:
        ModuleNotFoundError: one is not installed.
    """
    for name in dict.fromkeys(name for service in services for name in service.needs):
        importlib.import_module(name)


@contextlib.contextmanager
def served(service: Service, corpus: Corpus, http_threads: int | None = None) -> Iterator[str]:
    """The service over the corpus, ready to be asked, while the block runs; its address.

    Args:
        http_threads: PyTorch's threads of a search behind HTTP; such a service chooses what is faster if not given.

    Raises:
        ServerStartError: it did not start; the message ends with its log.
    """
    if service.module is None:
        with running(corpus.bundle, corpus.gallery) as server:
            yield server.address
        return
    address = f"127.0.0.1:{_free_ports()}"
    log = corpus.root / f"{service.name}.log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                f"{__package__}.{service.module}",
                str(corpus.root),
                "--port",
                address.rpartition(":")[2],
                *(("--threads", str(http_threads)) if http_threads and service.source is HttpSearches else ()),
            ],
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            env=_environment(),
            start_new_session=True,
        )
    try:
        _wait(process, service, address, log)
        yield address
    finally:
        _end(process)


def _environment() -> dict[str, str]:
    """This process's, and where this Python's library lies: PyTriton's server would take any other that it finds."""
    library = libpython()
    libraries = [str(library.parent) if library else "", os.environ.get("LD_LIBRARY_PATH", "")]
    parent = {PARENT_VARIABLE: str(os.getpid())}
    return {**os.environ, **parent, "LD_LIBRARY_PATH": os.pathsep.join(filter(None, libraries))}


def _wait(process: subprocess.Popen[bytes], service: Service, address: str, log: Path) -> None:
    deadline = time.monotonic() + _START_S
    while not _ready(service, address):
        if process.poll() is not None or time.monotonic() > deadline:
            told = log.read_text(encoding="utf-8", errors="replace")[-2000:]
            raise ServerStartError(f"{service.name} did not start:\n{told}")
        time.sleep(0.1)


def threads(service: Service, address: str) -> int | None:
    """PyTorch's threads of a search, which a service behind HTTP reports once it is ready; None otherwise."""
    if service.source is not HttpSearches:
        return None
    connection = HTTPConnection(address, timeout=1.0)
    try:
        connection.request("GET", "/health")
        return int(json.loads(connection.getresponse().read())["threads"])
    except (OSError, HTTPException, ValueError):
        return None
    finally:
        connection.close()


def _ready(service: Service, address: str) -> bool:
    if service.source is HttpSearches:
        return threads(service, address) is not None
    if service.source is PytritonSearches:
        # Its server is ready before the function that it serves.
        with InferenceServerClient(address) as server, contextlib.suppress(InferenceServerException):
            return bool(server.is_model_ready(PYTRITON_MODEL, client_timeout=1.0))
        return False
    with Client(address, timeout_s=1.0) as client:
        return client.ready()


def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_STOP_S)
    # What the service started itself, or all of it where it did not listen.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _free_ports() -> int:
    """The first of ``_PORTS`` neighbouring ports that nobody listens on."""
    while True:
        with contextlib.ExitStack() as held:
            first = held.enter_context(socket.socket())
            first.bind(("127.0.0.1", 0))
            port: int = first.getsockname()[1]
            try:
                for more in range(1, _PORTS):
                    held.enter_context(socket.socket()).bind(("127.0.0.1", port + more))
            except (OSError, OverflowError):
                continue
            return port
