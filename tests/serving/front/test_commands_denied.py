"""What every command of the client says to a caller without a token, with a wrong one, and with one of another role."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from click.testing import CliRunner

from framesift.__main__ import main
from framesift.export.bundle.store import Bundle
from framesift.serving.front.tokens import new_token
from framesift.serving.server.door import Reach

from ..client.asking import COMMANDS, line
from .alone import standing

# What takes another role than searching.
OTHER_ROLE = {"videos delete", "videos update", "models switch"}


class Guarded(NamedTuple):
    """A door that asks for tokens, and one of them, of the role search."""

    address: str
    token: str


@pytest.fixture(scope="module")
def guarded(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    tokens = tmp_path_factory.mktemp("tokens") / "tokens"
    token = new_token(tokens, "reader", ["search"])
    with standing(bundle.root, tmp_path_factory.mktemp("run"), Reach(tokens=tokens)) as (address, _):
        yield Guarded(address, token)


@pytest.mark.parametrize("command", COMMANDS)
def test_who_may_not_call_is_told_why(command: str, guarded: Guarded, tmp_path: Path) -> None:
    called = [*line(command, tmp_path), "--server", guarded.address]
    denied = [("", "FRAMESIFT_TOKEN"), ("fs_guessed", "does not know this token")]
    if command in OTHER_ROLE:
        denied.append((guarded.token, "role"))
    for token, said in denied:
        result = CliRunner(env={"FRAMESIFT_TOKEN": token}).invoke(main, called)
        assert (result.exit_code, said in result.output) == (1, True), result.output
        assert "Traceback" not in result.output
