"""Open calls: those of strangers take nobody's room who has a token."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest

from framesift.export.bundle.errors import AccessDenied, ServerUnavailable
from framesift.serving.front.access import Access
from framesift.serving.front.gate import MAX_ASKED, MAX_CALLS, MAX_STRANGERS, Gate
from framesift.serving.front.status import Refusal
from framesift.serving.front.tokens import Caller, new_token


def test_strangers_of_many_addresses_keep_nobody_out_who_is_known(tmp_path: Path) -> None:
    token = new_token(tmp_path / "tokens", "known", ["search"])
    access, gate = Access(tmp_path / "tokens"), Gate()
    with ExitStack() as held:
        refused = 0
        for number in range(20 * MAX_CALLS):
            stranger = access.caller(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", None, "session")
            try:
                held.enter_context(gate.inside(stranger, "session"))
            except ServerUnavailable:
                refused += 1
        # However many addresses they have, there is an end.
        assert refused > 10 * MAX_CALLS
        for _ in range(MAX_CALLS):
            known = access.caller("10.0.0.1", f"Bearer {token}".encode(), "ModelInfer")
            held.enter_context(gate.inside(known, "ModelInfer"))
        # Nor do those who look at the page keep out whoever probes health.
        held.enter_context(gate.inside(Caller("10.0.0.1", frozenset()), "Check"))
    with gate.inside(Caller("10.0.0.1", frozenset()), "session"):
        pass


def test_what_is_asked_beside_the_queue_is_asked_by_few_at_a_time() -> None:
    gate, many, one = Gate(), Caller("many"), Caller("one")
    with ExitStack() as held:
        for _ in range(MAX_ASKED):
            held.enter_context(gate.inside(many, "metrics"))
        for call in ("metrics", "ModelStatistics", "ModelReady"):
            with pytest.raises(ServerUnavailable, match="16 open calls already"):
                held.enter_context(gate.inside(many, call))
        held.enter_context(gate.inside(one, "metrics"))
        held.enter_context(gate.inside(many, "ModelInfer"))


def test_a_stranger_has_no_role_and_whoever_has_one_no_other(tmp_path: Path) -> None:
    shown = f"Bearer {new_token(tmp_path / 'tokens', 'known', ['search'])}".encode()
    access = Access(tmp_path / "tokens")
    # A token is not looked at where none is needed.
    for authorization in (None, b"Bearer wrong", shown):
        assert access.caller("1.1.1.1", authorization, "ServerLive") == Caller("1.1.1.1", frozenset())
    assert access.caller("1.1.1.1", shown, "search").name == "known"
    with pytest.raises(AccessDenied, match="may not call moveAlias: that takes the role admin"):
        access.caller("1.1.1.1", shown, "moveAlias")
    for authorization in (None, b"Bearer wrong"):
        with pytest.raises(Refusal):
            access.caller("1.1.1.1", authorization, "moveAlias")
    # Without tokens everybody is told by an address, and may do everything; what nobody has named is done for nobody.
    assert Access(None).caller("1.1.1.1", None, "moveAlias").may(frozenset({"index"}))
    with pytest.raises(KeyError):
        access.caller("1.1.1.1", shown, "a new call")
    assert MAX_STRANGERS < MAX_CALLS
