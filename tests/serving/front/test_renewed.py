"""Tokens and certificates that are renewed under a door that runs, as Kubernetes and cert-manager do it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import ssl
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from framesift import Client, Credentials
from framesift.export.bundle.errors import AccessDenied, ServerStartError, ServerUnavailable
from framesift.export.bundle.store import Bundle
from framesift.serving.front.certificates import Tls
from framesift.serving.front.tokens import new_token
from framesift.serving.server.door import Reach

from ...waiting import LIMIT_S, until
from ..certificates import certificates
from .alone import standing


class Secret:
    """A folder of files as a kubelet mounts a secret: links to links, replaced by the renaming of one."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._version = folder, 0
        folder.mkdir()

    def put(self, files: dict[str, bytes]) -> None:
        """Have the folder show these files, and none of those before."""
        before, self._version = self.folder / f"..{self._version}", self._version + 1
        now = self.folder / f"..{self._version}"
        now.mkdir()
        for name, content in files.items():
            (now / name).write_bytes(content)
            if not (self.folder / name).is_symlink():
                (self.folder / name).symlink_to(f"..data/{name}")
        (self.folder / "..data_tmp").symlink_to(now.name)
        (self.folder / "..data_tmp").rename(self.folder / "..data")
        for old in [*before.glob("*")]:
            old.unlink()


def lets_in(address: str, credentials: Credentials) -> bool:
    with Client(address, credentials=credentials, retry=False) as client:
        try:
            client.lookup([])
        except AccessDenied:
            return False
        except ServerUnavailable:
            # Nobody is behind the door.
            return True
    raise AssertionError("nobody is there to answer")


def test_tokens_and_certificates_are_renewed_in_place(bundle: Bundle, tmp_path: Path) -> None:
    first, second = (certificates(_made(tmp_path / name)) for name in ("first", "second"))

    def files(keys: Path, name: str) -> tuple[dict[str, bytes], Credentials]:
        token = new_token(keys / "tokens", name, ["search"])
        held = {"tls.crt": keys / "server.crt", "tls.key": keys / "server.key", "tokens": keys / "tokens"}
        return {key: path.read_bytes() for key, path in held.items()}, Credentials(token, ca=keys / "ca.crt")

    secret = Secret(tmp_path / "secrets")
    (old, old_caller), (new, new_caller) = files(first, "old"), files(second, "new")
    secret.put(old)
    folder = secret.folder
    reach = Reach(tls=Tls(folder / "tls.crt", folder / "tls.key"), tokens=folder / "tokens")
    reach.check("0.0.0.0")
    with standing(bundle.root, tmp_path / "run", reach) as (address, _):
        host, _, port = address.partition(":")

        def shown() -> str:
            return ssl.get_server_certificate((host, int(port)))

        assert shown().split() == (first / "server.crt").read_text().split()
        assert lets_in(address, old_caller)
        secret.put(new)
        until(lambda: shown().split() == (second / "server.crt").read_text().split())
        until(lambda: lets_in(address, new_caller))
        assert not lets_in(address, Credentials(old_caller.token, ca=second / "ca.crt"))
        # A key that belongs to another certificate is not taken.
        secret.put({**new, "tls.key": old["tls.key"]})
        time.sleep(1)
        assert lets_in(address, new_caller)


def test_a_key_of_another_certificate_is_refused_at_the_start(tmp_path: Path) -> None:
    first, second = (certificates(_made(tmp_path / name)) for name in ("first", "second"))
    with pytest.raises(ServerStartError, match="can't be used for TLS"):
        Reach(tls=Tls(first / "server.crt", second / "server.key")).check("127.0.0.1")


def test_a_key_that_is_encrypted_is_refused_and_nobody_is_asked_for_its_words(tmp_path: Path) -> None:
    keys = certificates(_made(tmp_path / "keys"))
    encrypt = ["openssl", "pkey", "-aes256", "-passout", "pass:words", "-in", "server.key", "-out", "encrypted.key"]
    subprocess.run(encrypt, cwd=keys, check=True, capture_output=True)
    code = (
        "from pathlib import Path\nfrom framesift.serving.front.certificates import Tls\n"
        "Tls(Path('server.crt'), Path('encrypted.key')).check()"
    )
    # OpenSSL asks a terminal, if the process has one.
    terminal, end = os.openpty()
    started = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=keys,
        stdin=end,
        stdout=end,
        stderr=end,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    os.close(end)
    try:
        assert started.wait(LIMIT_S) == 1
        said = b""
        # It comes in parts, and has an end, which is an error, once nobody holds the other side.
        with contextlib.suppress(OSError):
            while part := os.read(terminal, 1 << 16):
                said += part
        assert "encrypted.key can't be used for TLS" in said.decode()
    finally:
        started.kill()
        started.wait()
        os.close(terminal)


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder
