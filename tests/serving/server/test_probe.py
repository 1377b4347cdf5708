"""What Docker and Kubernetes learn of a door: in the clear, with TLS, and where clients show certificates."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from framesift.export.bundle.store import Bundle
from framesift.serving.server import probe
from framesift.serving.server.addresses import choose
from framesift.serving.server.probe import context, healthy
from framesift.serving.server.secrets import reach_of

from ..certificates import certificates
from ..front.alone import standing

GIVEN = {
    "clear": {},
    "tls": {"server.crt": "tls.crt", "server.key": "tls.key"},
    "mutual": {
        "server.crt": "tls.crt",
        "server.key": "tls.key",
        "ca.crt": "clients.crt",
        "client.crt": "probe.crt",
        "client.key": "probe.key",
    },
}


@pytest.mark.parametrize("kind", GIVEN)
def test_a_probe_learns_what_is_true(
    kind: str, bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Two seconds are soon over where others have the processors.
    monkeypatch.setattr(probe, "_TIMEOUT_S", 60.0)
    keys, secrets = tmp_path / "keys", tmp_path / "secrets"
    keys.mkdir()
    secrets.mkdir()
    certificates(keys)
    for made, name in GIVEN[kind].items():
        shutil.copyfile(keys / made, secrets / name)
    port = choose("127.0.0.1", None)
    assert not healthy(port, "live", context(secrets))
    with standing(bundle.root, tmp_path / "run", reach_of(secrets, "127.0.0.1", port, insecure=False)):
        assert healthy(port, "live", context(secrets))
        # There is no Triton server behind it.
        assert not healthy(port, "ready", context(secrets))
        assert healthy(port, "live") is (kind == "clear")
        if kind == "mutual":
            (secrets / "probe.crt").unlink()
            assert not healthy(port, "live", context(secrets))
