"""The folder in which a container finds who may call, and the door's certificate."""

from __future__ import annotations

from pathlib import Path

from ...export.bundle.errors import ServerStartError
from ..front.certificates import Tls
from .door import Reach

# Environment variables of a container: where the folder is, and the port that the door listens on.
SECRETS_VARIABLE, PORT_VARIABLE = "FRAMESIFT_SECRETS", "FRAMESIFT_PORT"
SECRETS, PORT = "/secrets", 8001
# The names that Kubernetes gives to a certificate and its key.
CERTIFICATE, KEY, TOKENS, CLIENTS = "tls.crt", "tls.key", "tokens", "clients.crt"
# A client's certificate, for the probe of a door that wants one.
PROBE_CERTIFICATE, PROBE_KEY = "probe.crt", "probe.key"


def reach_of(secrets: Path, host: str, port: int, *, insecure: bool) -> Reach:
    """Where the door is reached, and who may call, by the files that there are in ``secrets``.

    Raises:
        ServerStartError: a certificate without its key, a key without its certificate, or neither although clients are
            to show theirs.
    """
    there = {name: secrets / name for name in (CERTIFICATE, KEY, TOKENS, CLIENTS) if (secrets / name).is_file()}
    tls = None
    if there.keys() & {CERTIFICATE, KEY, CLIENTS}:
        if missing := [name for name in (CERTIFICATE, KEY) if name not in there]:
            raise ServerStartError(f"{secrets} has no {' and no '.join(missing)}: TLS needs {CERTIFICATE} and {KEY}")
        tls = Tls(there[CERTIFICATE], there[KEY], there.get(CLIENTS))
    advice = f"put {TOKENS} (or {CLIENTS}), {CERTIFICATE} and {KEY} into {secrets}, or say FRAMESIFT_INSECURE=1"
    return Reach(host, port, tls, there.get(TOKENS), insecure, advice)
