"""The connection to a server: who connects, in whose trace, what a failed call raises, and when one is tried again."""

from __future__ import annotations

import itertools
import os
import random
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...export.bundle.errors import (
    AccessDenied,
    DeadlineExceeded,
    FramesiftError,
    InvalidRequest,
    ServerError,
    ServerUnavailable,
    from_wire,
)

if TYPE_CHECKING:
    from tritonclient.utils import InferenceServerException

DEFAULT_ADDRESS = "127.0.0.1:8001"
# Seconds to wait for an answer; a video waits for others, and is decoded and encoded.
DEFAULT_TIMEOUT_S = 30.0
VIDEO_TIMEOUT_S = 600.0
# The header by which a client chooses one of a server's models.
MODEL_HEADER = "framesift-model"
CLOSED = "the client is closed: make a new one"

_TOKEN, _TOKEN_FILE = "FRAMESIFT_TOKEN", "FRAMESIFT_TOKEN_FILE"
_INSECURE = "FRAMESIFT_INSECURE"
_CA, _CERTIFICATE, _KEY = "FRAMESIFT_TLS_CA", "FRAMESIFT_TLS_CERT", "FRAMESIFT_TLS_KEY"
_LARGEST_MESSAGE = 2**31 - 1
_THIS_MACHINE = {"127.0.0.1", "localhost", "[::1]"}

# What the server says when a queue is full or a request has waited there for too long.
_OVERLOADED = ("exceeds maximum queue size", "timeout expired")
# What the front door says where it has too much to do. A model that is started again is left out: the video that was
# sent may have ended it.
_BUSY = (*_OVERLOADED, "already: try again", "too much to do", "shared memory is full")
# What gRPC says where nobody listens, nobody has that name, or what listens does not speak gRPC; and of the last alone.
_NOBODY = ("failed to connect to all addresses", "errors resolving", "dns resolution failed")
_OTHERS = ("failed parsing http/2", "http1.x server")
# What it says for a few seconds between the death of a model's process and its restart.
_RESTARTING = "is not healthy"

# A search takes milliseconds, so the first waits are short. Videos wait for one another, and are sent again each time.
_WAITS_S = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6)
_LONG_WAIT_S = 4.0
# Where a server has too much to do, a search's caller decides before it has waited for so long, after about three
# seconds. A video waits for its turn as long as its caller does. A server that was there and is away for longer than
# the second will not come back.
BUSY_S, AWAY_S = 4.0, 12.0

_WEB = ("http://", "https://", "grpc://", "grpcs://")
_LAST_PORT = 65535


class Unset(Enum):
    """What stands for a setting that was not given, where None means something."""

    UNSET = "unset"


@dataclass(frozen=True)
class Credentials:
    """What a client connects with; by itself nothing, as to a server on this machine.

    Attributes:
        token: what the server knows the client by.
        ca: file with the certificate of the authority that signed the server's; with it the connection is encrypted.
        certificate, key: files of the client's own, for a server that asks for them.
        insecure: show the token beyond this machine even where the connection is not encrypted.
    """

    token: str | None = field(default=None, repr=False)
    ca: str | os.PathLike[str] | None = None
    certificate: str | os.PathLike[str] | None = None
    key: str | os.PathLike[str] | None = None
    insecure: bool = False

    def __post_init__(self) -> None:
        if self.token is not None and (not self.token or not self.token.isascii() or not self.token.isprintable()):
            raise InvalidRequest("the token is empty, or holds characters that no token has")
        if (self.certificate is None) != (self.key is None):
            raise InvalidRequest("a client's certificate needs its key, and a key its certificate")
        if self.certificate is not None and self.ca is None:
            raise InvalidRequest("a client's certificate needs the authority of the server's, too")
        for path in (self.ca, self.certificate, self.key):
            if path is not None and not os.access(path, os.R_OK):
                raise InvalidRequest(f"{os.fspath(path)} can't be read: it is needed to connect")

    @staticmethod
    def from_env(environment: Mapping[str, str] = os.environ) -> Credentials:
        """Those that the environment names: FRAMESIFT_TOKEN or FRAMESIFT_TOKEN_FILE, FRAMESIFT_TLS_CA and so on.

        Raises:
            InvalidRequest: a file can't be read, or what is given doesn't fit together.
        """
        token = environment.get(_TOKEN) or None
        if token is None and (file := environment.get(_TOKEN_FILE)):
            try:
                token = Path(file).read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                raise InvalidRequest(f"the token in {file} can't be read: {error}") from error
        ca, certificate, key = (environment.get(name) or None for name in (_CA, _CERTIFICATE, _KEY))
        return Credentials(token, ca, certificate, key, environment.get(_INSECURE) == "1")

    def check(self, address: str) -> str:
        """The address itself, to which these may be shown.

        Raises:
            InvalidRequest: whoever is on the way could read the token.
        """
        clear = self.token is not None and self.ca is None and not self.insecure
        if clear and address.rpartition(":")[0] not in _THIS_MACHINE:
            raise InvalidRequest(
                f"the token would be sent to {address} for all to read: name the authority of the server's certificate "
                f"({_CA}, or Credentials(ca=...)); or, where something else encrypts the way, set {_INSECURE}=1"
            )
        return address

    @property
    def headers(self) -> dict[str, str] | None:
        """What every call carries."""
        return None if self.token is None else {"authorization": f"Bearer {self.token}"}

    @property
    def channel(self) -> dict[str, Any]:
        """Arguments of tritonclient's clients, which read the files."""
        if self.ca is None:
            return {}
        files = {"root_certificates": self.ca, "certificate_chain": self.certificate, "private_key": self.key}
        return {"ssl": True, **{name: None if path is None else os.fspath(path) for name, path in files.items()}}


def check_address(address: str) -> str:
    """The address itself.

    Raises:
        InvalidRequest: anything but HOST:PORT.
    """
    wanted = f"give HOST:PORT of the server's gRPC port, as `framesift serve` prints it, e.g. {DEFAULT_ADDRESS}"
    if not isinstance(address, str):
        raise InvalidRequest(f"the address is {type(address).__name__}: give the server's, as HOST:PORT")
    if address.lower().startswith(_WEB):
        raise InvalidRequest(f"the address is {address!r}: {wanted}, without {address.partition('//')[0]}//")
    host, colon, port = address.rpartition(":")
    if not address.isprintable() or not address.strip() or any(c.isspace() or c in "/?#@" for c in address):
        raise InvalidRequest(f"the address is {address!r}: {wanted}")
    if not colon or (":" in host and not (host.startswith("[") and host.endswith("]"))):
        raise InvalidRequest(f"the address {address!r} has no port: {wanted}")
    if not host or not port.isascii() or not port.isdigit() or len(port) > 5 or not 1 <= int(port) <= _LAST_PORT:
        what = "host" if not host else f"port between 1 and {_LAST_PORT}"
        raise InvalidRequest(f"the address {address!r} has no {what}: {wanted}")
    return address


def check_seconds(value: object) -> float:
    """Seconds to wait for at most, as a float.

    Raises:
        InvalidRequest: no number, below 0, or NaN.
    """
    if isinstance(value, bool) or not isinstance(value, Real):
        raise InvalidRequest(f"timeout_s is {type(value).__name__}: give seconds, 0 or more")
    try:
        seconds = float(value)
    except OverflowError as error:
        raise InvalidRequest("timeout_s is larger than any number of seconds: give fewer, or None") from error
    if not seconds >= 0:
        raise InvalidRequest(f"timeout_s is {seconds:g}: give seconds, 0 or more")
    return seconds


def channel_options(address: str) -> list[tuple[str, int]]:
    """gRPC's options for a connection to ``address``."""
    options = [
        ("grpc.max_send_message_length", _LARGEST_MESSAGE),
        ("grpc.max_receive_message_length", _LARGEST_MESSAGE),
        # gRPC would wait up to two minutes before it tries a server again that was not up yet.
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 1000),
    ]
    if address.rpartition(":")[0] in _THIS_MACHINE:
        # gRPC would send even these calls through http_proxy.
        options.append(("grpc.enable_http_proxy", 0))
    return options


def with_trace(headers: dict[str, str] | None) -> dict[str, str] | None:
    """``headers``, and those that name the trace and the span in which this is called, if there is one.

    Only a program that uses OpenTelemetry has a span, so nothing is imported where it is not loaded.
    """
    if "opentelemetry.trace" not in sys.modules:
        return headers
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carried: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carried)
    return {**(headers or {}), **carried} if carried else headers


def translate(error: InferenceServerException, address: str, timeout_s: float | None) -> FramesiftError:
    """The exception to raise for a failed call to ``address``."""
    message = error.message() or "no reason given"
    sent = from_wire(message)
    if sent is not None:
        return sent
    status = (error.status() or "").removeprefix("StatusCode.")
    lowered = message.lower()
    if any(sign in lowered for sign in _OVERLOADED):
        return ServerUnavailable(f"the server at {address} is overloaded, try again: {message}")
    if _RESTARTING in lowered:
        return ServerUnavailable(f"a model of the server at {address} is being restarted, try again: {message}")
    if status == "DEADLINE_EXCEEDED":
        return DeadlineExceeded(
            f"no answer from {address} within {timeout_s:g} s" if timeout_s else f"no answer from {address}"
        )
    if status == "NOT_FOUND" or "request for unknown model" in lowered:
        return ServerUnavailable(f"the server at {address} does not serve framesift's models, or not yet: {message}")
    if any(sign in lowered for sign in _OTHERS):
        return ServerUnavailable(
            f"what answers at {address} is no framesift server: give the address that `framesift serve` prints"
        )
    if status == "UNAVAILABLE":
        return ServerUnavailable(f"no server answers at {address} (is `framesift serve` running?): {message}")
    if status in {"UNAUTHENTICATED", "PERMISSION_DENIED"}:
        return AccessDenied(f"the server at {address} refused the call: {message}")
    if status in {"INVALID_ARGUMENT", "RESOURCE_EXHAUSTED"}:
        return InvalidRequest(f"the server at {address} refused the request: {message}")
    return ServerError(f"the server at {address} failed: {message}")


def passing(error: InferenceServerException) -> bool:
    """Whether the same call may be answered in a moment: the server has too much to do, or is being started again."""
    message, status = error.message() or "", error.status() or ""
    # What framesift says of a request may hold words of the caller's own.
    if (sent := from_wire(message)) is not None:
        return isinstance(sent, ServerUnavailable)
    return status.endswith("UNAVAILABLE") or any(sign in message.lower() for sign in (*_OVERLOADED, _RESTARTING))


def nobody(error: InferenceServerException) -> bool:
    """Whether there is no server at the address."""
    message = (error.message() or "").lower()
    return (error.status() or "").endswith("UNAVAILABLE") and any(sign in message for sign in _NOBODY)


def busy(error: InferenceServerException) -> bool:
    """Whether the server is well and has too much to do."""
    message = (error.message() or "").lower()
    return any(sign in message for sign in _BUSY)


def waits(timeout_s: float | None, *, patient: bool = False) -> Iterator[float]:
    """Seconds to wait before each new try, as long as the next one still falls within ``timeout_s`` from now.

    Each is drawn from a range around its length, so that those who were refused together do not come back together.
    Those of a ``patient`` caller become longer.
    """
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    for length in itertools.chain(_WAITS_S, itertools.repeat(_LONG_WAIT_S if patient else _WAITS_S[-1])):
        wait = length * random.uniform(0.5, 1.5)
        if deadline is not None and time.monotonic() + wait > deadline:
            return
        yield wait
