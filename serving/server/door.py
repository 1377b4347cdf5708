"""The front door's process: its files in the run's folder, and how it is started."""

from __future__ import annotations

import ipaddress
import json
import os
import sysconfig
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...export.bundle.errors import ServerStartError
from ..front import certificates, envoy
from ..front.behind import Behind
from ..front.certificates import Tls
from ..front.overload import most_connections
from ..front.settings import ALONE, VARIABLE, Settings
from ..front.telemetry import NOTHING, Telemetry
from ..front.tokens import read_tokens
from .child import Program, descriptors
from .run_folder import RunFolder, libpython

NAME = "door"


@dataclass(frozen=True)
class Reach:
    """Where clients reach a run, and who may.

    Attributes:
        host: IPv4 address to listen on.
        port: a free one is chosen without it.
        tokens: file of the tokens that callers need; without one everybody may call.
        insecure: listen beyond this machine without tokens or TLS.
        advice: what to do where that is refused.
        names: by which browsers know it, beside its address.
        page: show the page to browsers.
        videos: folder of the videos whose files may be sent to whoever may search.
        alias: of the deployment behind it, by which clients may choose it.
        beside: further deployments behind it, which run by themselves.
    """

    host: str = "127.0.0.1"
    port: int | None = None
    tls: Tls | None = None
    tokens: Path | None = None
    insecure: bool = False
    advice: str = "give tokens (--tokens) and a certificate with its key (--tls-cert, --tls-key), or say --insecure"
    names: frozenset[str] = frozenset()
    page: bool = False
    videos: Path | None = None
    alias: str = ALONE
    beside: Sequence[Behind] = ()

    def check(self, host: str) -> None:
        """Whether so much may be open to others; ``host`` is the address that is listened on.

        Raises:
            ServerStartError: others could call without tokens, or read what is sent.
            InvalidRequest: the tokens can't be read.
        """
        for path in (self.tls.certificate, self.tls.key, self.tls.clients) if self.tls else ():
            if path is not None and not os.access(path, os.R_OK):
                raise ServerStartError(f"{path} can't be read: the door needs it for TLS")
        if self.tls is not None:
            self.tls.check()
        if self.tokens is not None:
            read_tokens(self.tokens)
        if self.videos is not None and not os.access(self.videos, os.R_OK | os.X_OK):
            raise ServerStartError(f"the videos in {self.videos} can't be read: give a folder that can")
        known = self.tokens is not None or (self.tls is not None and self.tls.clients is not None)
        if not ipaddress.ip_address(host).is_loopback and not self.insecure and (self.tls is None or not known):
            raise ServerStartError(f"listening on {host} would let others call, and read what is sent: {self.advice}")


def door_program(
    deployment: Path,
    reach: Reach,
    host: str,
    port: int,
    folder: RunFolder,
    mark: str,
    environment: Mapping[str, str],
    room: int,
    telemetry: Telemetry = NOTHING,
) -> Program:
    """Write the door's settings and Envoy's configuration, and tell how to start it.

    Args:
        deployment: folder with the bundle's manifest and vocabulary.
        host: the address that the one of ``reach`` stands for.
        environment: of the run's processes.
        room: the bytes of large requests that may lie in shared memory at once.
        telemetry: what is told of calls.

    Raises:
        ServerStartError: Envoy or pyvoy is not installed.
    """
    settings, configuration = folder.root / "door.json", folder.root / "envoy.json"
    Settings(
        deployment=deployment.resolve(),
        triton=folder.triton,
        triton_metrics=folder.triton_metrics,
        state=folder.root,
        arena=f"{mark}arena",
        room=room,
        port=port,
        connections=most_connections(descriptors()),
        # Not what a link leads to now: Kubernetes puts another folder in its place.
        tokens=None if reach.tokens is None else reach.tokens.absolute(),
        telemetry=telemetry.absolute(),
        names=reach.names | {reach.host},
        page=reach.page,
        videos=None if reach.videos is None else reach.videos.resolve(),
        name=reach.alias,
        beside=reach.beside,
    ).write(settings)
    transport = None
    if reach.tls is not None:
        told = certificates.secrets(reach.tls)
        files = {name: folder.root / f"{name}.json" for name in told}
        for name, path in files.items():
            path.write_text(json.dumps(told[name]), encoding="utf-8")
        transport = certificates.transport(reach.tls, files)
    configuration.write_text(
        json.dumps(envoy.configuration(host, port, transport, descriptors=descriptors())), encoding="utf-8"
    )
    # The collector's certificate, what it asks its clients for, and what else OpenTelemetry reads.
    spoken = {"OTEL_SERVICE_NAME": "framesift"} if telemetry.traces else {}
    spoken.update({key: value for key, value in os.environ.items() if key.startswith("OTEL_") and telemetry.traces})
    command = envoy.command(configuration, mark)
    modules = [folder.modules, *(Path(sysconfig.get_path(name)) for name in ("purelib", "platlib"))]
    interpreter = envoy.environment(Path(str(libpython())), modules)
    return Program(
        NAME, command, command, {**environment, **spoken, **interpreter, VARIABLE: str(settings)}, (), f"{host}:{port}"
    )
