"""Whether models can be called, which anybody may ask."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import pytest

from framesift.serving.front import health
from framesift.serving.front.deployment import public_models
from framesift.serving.front.health import Health
from framesift.serving.front.supervision import MODELS, Supervision, write_state
from framesift.serving.front.upstream import Upstream
from framesift.serving.repository.render import reference_manifest

PUBLIC = public_models(reference_manifest())


async def probe() -> None:
    """Nobody searches here."""


def test_however_many_ask_for_a_model_triton_server_is_asked_once_in_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                asked.append((await reader.readuntil(b"\r\n\r\n")).split(b" ")[1].decode())
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    async def crowd() -> None:
        async with await asyncio.start_unix_server(answer, tmp_path / "triton"):
            upstream = Upstream(tmp_path / "triton")
            found = Health(PUBLIC["search"], probe, upstream, Supervision(tmp_path))
            # Longer than both rounds take on any machine.
            monkeypatch.setattr(health, "_LOOK_S", 600.0)
            monkeypatch.setattr(health, "_ANSWER_S", 600.0)
            for _ in range(2):
                models = [PUBLIC["search"], PUBLIC["index_video"]] * 200
                assert all(await asyncio.gather(*map(found.model_ready, models)))
                assert len(set(asked)) == len(asked)
            monkeypatch.setattr(health, "_LOOK_S", 0.0)
            assert await found.model_ready(PUBLIC["search"])
            assert len(asked) == 3
            # What lacks a process is known here, at once.
            write_state(tmp_path / MODELS, {"short": ["gallery_search"]})
            assert not await found.model_ready(PUBLIC["search"])
            assert await found.model_ready(PUBLIC["index_video"])
            upstream.close()

    asyncio.run(crowd())
