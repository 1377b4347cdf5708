"""What a starting server says of its models, from what Triton server's own log has."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from framesift.serving.server import loading
from framesift.serving.server.embedded import EmbeddedServer
from framesift.serving.server.loading import Loading

MODELS = Path(__file__).parent / "models"
STAMP = "2026-11-28T20:14:09Z I 26296 "


def test_it_names_what_loads_with_its_size_and_no_sooner_than_is_worth_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, lines = tmp_path / "server.log", []
    for model in ("text_encoder", "scorer", "search"):
        (tmp_path / "repository" / model / "1").mkdir(parents=True)
    (tmp_path / "weights").write_bytes(b"")
    with (tmp_path / "weights").open("ab") as file:
        file.truncate(1_222_000_000)
    (tmp_path / "repository" / "text_encoder" / "1" / "model.onnx").symlink_to(tmp_path / "weights")
    told = Loading(tmp_path / "repository", log, lines.append)
    told.look()
    assert not lines
    monkeypatch.setattr(loading, "_EVERY_S", 0.0)
    told.look()
    began = [
        f'{STAMP}python_be.cc:2249] "TRITONBACKEND_ModelInstanceInitialize: {name}_0_0 (CPU device 0)"\n'
        for name in ("scorer", "text_encoder")
    ]
    log.write_text("".join(began) + f"{STAMP}model_lifecycle.cc:839] \"successfully loaded 'scorer'\"\n")
    told.look()
    with log.open("a") as file:
        file.writelines(f"\"successfully loaded '{name}'\"\n" for name in ("text_encoder", "search"))
    told.look()
    assert [line.partition(" s  ")[2] for line in lines] == [
        "0 of 3 models loaded, at it: Triton server itself",
        "1 of 3 models loaded, at it: text_encoder (1,222 MB)",
        "all 3 models are loaded, the front door opens",
    ]


@pytest.mark.server
def test_a_real_server_is_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "_EVERY_S", 0.0)
    shutil.copytree(MODELS / "fragile", tmp_path / "repository" / "fragile")
    stuck = tmp_path / "repository" / "fragile" / "stuck"
    stuck.touch()
    steps = (
        "0 of 1 models loaded, at it: Triton server itself",
        "0 of 1 models loaded, at it: fragile",
        "all 1 models are loaded, the front door opens",
    )
    found: list[str] = []

    def report(line: str) -> None:
        found.append(line.partition(" s  ")[2])
        # It loads until that was told. The other steps may be over before anybody looks.
        if found[-1] == steps[1]:
            stuck.unlink(missing_ok=True)

    with EmbeddedServer(tmp_path / "repository", report=report):
        pass
    assert steps[1] in found
    assert list(dict.fromkeys(found)) == [step for step in steps if step in found]
