"""A TypeScript client that openapi-typescript generates from the server's own description works, under Node.

`make test-page` brings them.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from framesift.serving.client.sync import Client

from .asked_over_http import settle

pytestmark = [pytest.mark.server, pytest.mark.slow, pytest.mark.page]
MODULES = Path(__file__).parents[3] / "work" / "browser" / "node_modules"
OPTIONS = ("--module", "nodenext", "--target", "es2022", "--strict", "--types", "node", "--skipLibCheck")


def run(*command: str, folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_generated_client_does_all_there_is_to_do(server, client: Client, indexed: list, tmp_path: Path) -> None:
    (tmp_path / "node_modules").symlink_to(MODULES)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    shutil.copy(Path(__file__).with_name("client.ts"), tmp_path)
    described = f"http://{server.address}/v1/openapi.json"
    run("node", "node_modules/openapi-typescript/bin/cli.js", described, "--output", "framesift.ts", folder=tmp_path)
    run("node", "node_modules/typescript/bin/tsc", *OPTIONS, "client.ts", folder=tmp_path)
    wanted = [video.id for video in client.videos()]
    told = json.loads(run("node", "client.js", server.address, str(indexed[0].video), folder=tmp_path))
    id_ = "node/a b & ü.mp4"
    assert [told["indexed"]["id"], told["again"]["id"]] == [id_, f"{id_} again"]
    assert set(told["hits"]) - {id_, f"{id_} again"} <= {hit.id for hit in client.search("a red circle", 5).hits}
    assert all(moment >= 0 for moment in told["moments"])
    assert told["known"]["metadata"] == {"channel": "news"}
    assert told["after"]["metadata"] == {"channel": "news", "year": 2026}
    assert set(told["listed"]) == {*wanted, id_, f"{id_} again"}
    assert (told["absent"], told["wrong"]) == ([404, "not-found"], [400, "invalid-query"])
    assert client.count() == len(wanted)
    settle(client)
