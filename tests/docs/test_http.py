"""What docs/http.md has a reader type is answered, and the answers that it shows are as the description says."""

from __future__ import annotations

import json
import shlex
import subprocess
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from framesift.serving.client.sync import Client
from framesift.serving.front.v1.openapi import description

from ..serving.front.asked_over_http import settle
from .documents import ROOT, blocks, console

PAGE = ROOT / "docs" / "http.md"
DOCUMENT = description("1")


@pytest.mark.server
def test_the_commands_are_answered(server, client: Client, clips: list, tmp_path: Path) -> None:
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "test-00000.mp4").symlink_to(clips[0].video)
    lines = [line for line in console(PAGE) if line.startswith("curl ")]
    assert len(lines) > 3
    for line in lines:
        words = shlex.split(line.replace("127.0.0.1:8001", server.address))
        run = subprocess.run([*words, "--fail-with-body"], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stdout
        assert isinstance(json.loads(run.stdout), dict)
    client.delete(["dogs/frisbee.mp4", "pets/one.mp4"])
    settle(client)


def test_the_answers_shown_are_as_described() -> None:
    shown = [json.loads(block) for block in blocks(PAGE, "json")]
    for value, schema in zip(shown, ("SearchResponse", "Problem"), strict=True):
        named = {"$ref": f"#/components/schemas/{schema}", "components": DOCUMENT["components"]}
        Draft202012Validator(named).validate(value)


def test_every_operation_is_told() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for path in DOCUMENT["paths"]:
        assert path in text
