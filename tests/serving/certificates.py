"""An authority, and certificates of it for a server on this machine and for a client."""

from __future__ import annotations

import subprocess
from pathlib import Path


def certificates(folder: Path) -> Path:
    """Write ``ca``, ``server`` and ``client``, each a .crt and a .key, into ``folder``."""
    ca = folder / "ca"
    new = ["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj"]
    _openssl(*new, "/CN=authority", "-x509", "-days", "2", "-keyout", f"{ca}.key", "-out", f"{ca}.crt")
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1,DNS:localhost")
    for name in ("server", "client"):
        made = folder / name
        _openssl(*new, f"/CN={name}", "-keyout", f"{made}.key", "-out", f"{made}.csr")
        signed = ["x509", "-req", "-in", f"{made}.csr", "-CA", f"{ca}.crt", "-CAkey", f"{ca}.key", "-CAcreateserial"]
        _openssl(*signed, "-days", "2", "-extfile", str(folder / "names"), "-out", f"{made}.crt")
    return folder


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)
