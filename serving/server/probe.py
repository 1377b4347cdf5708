"""Asks the door of this container whether it is ready: for Docker's HEALTHCHECK, and probes that run a command.

    python3 -m framesift.serving.server.probe [live]

Exits with 1 where it is not. The door answers gRPC's health service alike, but Kubernetes' probes of that kind can't do
TLS. A door that wants its clients' certificates is shown the probe's own.
"""

from __future__ import annotations

import http.client
import os
import ssl
import sys
from pathlib import Path

from .secrets import CERTIFICATE, PORT, PORT_VARIABLE, PROBE_CERTIFICATE, PROBE_KEY, SECRETS, SECRETS_VARIABLE

_TIMEOUT_S = 2.0


def healthy(port: int, which: str = "ready", tls: ssl.SSLContext | None = None) -> bool:
    """Whether the door of this machine that listens on ``port`` says so of ``which``, "ready" or "live"."""
    host = "127.0.0.1"
    connection = (
        http.client.HTTPConnection(host, port, timeout=_TIMEOUT_S)
        if tls is None
        else http.client.HTTPSConnection(host, port, timeout=_TIMEOUT_S, context=tls)
    )
    try:
        connection.request("GET", f"/v2/health/{which}")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def context(secrets: Path) -> ssl.SSLContext | None:
    """TLS as the door with this folder of secrets speaks it, if it does."""
    if not (secrets / CERTIFICATE).is_file():
        return None
    # It asks its own container, under an address that stands in no certificate.
    made = ssl.create_default_context()
    made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
    if (secrets / PROBE_CERTIFICATE).is_file():
        made.load_cert_chain(secrets / PROBE_CERTIFICATE, secrets / PROBE_KEY)
    return made


if __name__ == "__main__":
    tls = context(Path(os.environ.get(SECRETS_VARIABLE) or SECRETS))
    which = sys.argv[1] if len(sys.argv) > 1 else "ready"
    sys.exit(not healthy(int(os.environ.get(PORT_VARIABLE) or PORT), which, tls))
