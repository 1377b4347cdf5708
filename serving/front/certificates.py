"""TLS of the door: its certificate and key, and the authority of its clients, read again when they are renewed.

Envoy reads them anew when something is moved into the certificate's folder, as `mv` does it, and as Kubernetes does
with a secret's folder: connections that stand go on, and new ones get the new certificate. What can't be read then
leaves things as they were.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...export.bundle.errors import ServerStartError
from .overload import TYPES

_SECRET = f"{TYPES}.transport_sockets.tls.v3.Secret"
_OWN, _CLIENTS = "certificate", "clients"


@dataclass(frozen=True)
class Tls:
    """The door's certificate and key, and the authority whose clients it lets in, if only those."""

    certificate: Path
    key: Path
    clients: Path | None = None

    def check(self) -> None:
        """Whether they can be used as they are now.

        Raises:
            ServerStartError: a file can't be read, or certificate and key don't belong together.
        """
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            # OpenSSL would ask whoever sits at a terminal for the words that a key is encrypted with; Envoy has none.
            made.load_cert_chain(self.certificate, self.key, password="")
            if self.clients is not None:
                made.load_verify_locations(self.clients)
        except (OSError, ValueError) as error:
            paths = " and ".join(str(path) for path in (self.certificate, self.key, self.clients) if path is not None)
            raise ServerStartError(f"{paths} can't be used for TLS: {error}") from error


def secrets(tls: Tls) -> dict[str, dict[str, Any]]:
    """What a file each tells Envoy of the files, by the secret's name: where they are, and what to watch.

    Of a file with two secrets Envoy takes none.
    """
    own: dict[str, Any] = {
        "certificate_chain": {"filename": str(tls.certificate.absolute())},
        "private_key": {"filename": str(tls.key.absolute())},
        "watched_directory": {"path": str(tls.certificate.absolute().parent)},
    }
    found = {_OWN: {"tls_certificate": own}}
    if tls.clients is not None:
        clients = {
            "trusted_ca": {"filename": str(tls.clients.absolute())},
            "watched_directory": {"path": str(tls.clients.absolute().parent)},
        }
        found[_CLIENTS] = {"validation_context": clients}
    return {name: {"resources": [{"@type": _SECRET, "name": name, **secret}]} for name, secret in found.items()}


def transport(tls: Tls, files: Mapping[str, Path]) -> dict[str, Any]:
    """A listener's transport, with the secrets in these files, by their names."""
    context: dict[str, Any] = {
        "alpn_protocols": ["h2", "http/1.1"],
        "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
        "tls_certificate_sds_secret_configs": [_in(files, _OWN)],
    }
    if tls.clients is not None:
        context["validation_context_sds_secret_config"] = _in(files, _CLIENTS)
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": f"{TYPES}.transport_sockets.tls.v3.DownstreamTlsContext",
            "common_tls_context": context,
            "require_client_certificate": tls.clients is not None,
        },
    }


def _in(files: Mapping[str, Path], name: str) -> dict[str, Any]:
    source = {"path_config_source": {"path": str(files[name])}, "resource_api_version": "V3"}
    return {"name": name, "sds_config": source}
