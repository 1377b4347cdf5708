"""The documents' examples: commands exist with their options, what can be run quickly is run against a real server."""

from __future__ import annotations

import re
import shlex
from importlib.util import find_spec
from pathlib import Path

import pytest
from click.testing import CliRunner

from framesift.__main__ import main
from framesift.export.bundle.ports import SCORER
from framesift.export.bundle.store import Bundle
from framesift.serving.client.sync import Client

from .documents import DOCUMENTS, ROOT, blocks, console, lay_out, name, parse

_PAGES = ("README.md", "docs/operations.md", "docs/filters.md", "docs/likes.md", "docs/segments.md")
README, OPERATIONS, FILTERS, LIKES, SEGMENTS, PLUGIN = (ROOT / path for path in (*_PAGES, "docs/tensorrt-plugin.md"))
LINES = [(document, line) for document in DOCUMENTS for line in console(document)]
PYTHON = [(document, block) for document in DOCUMENTS for block in blocks(document, "python")]
# These would never end, or take hours; `bench` has tests of its own commands.
# A server that only a reader could have.
ELSEWHERE = "search.example.org"
NOT_RUN = ("serve", "finetune", "ablate", "bench")
# It wants thousands of videos; tests/serving/test_calibrate_command.py has some.
CALIBRATE = ["gallery", "calibrate"]


@pytest.mark.parametrize(
    "line", [pytest.param(line, id=f"{name(path)}: {line}") for path, line in LINES if line.startswith("framesift ")]
)
def test_commands_and_options_exist(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    lay_out(line, tmp_path)
    parse(line)


def test_other_commands_are_known() -> None:
    others = {line.split()[0] for _, line in LINES if not line.startswith("framesift ")}
    assert others == {"curl", "make", "mkdir", "pip", "python3", "deployments/mine/run.sh"}


def test_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = {line.split()[1] for _, line in LINES if line.startswith("make ")}
    for document in DOCUMENTS:
        named |= set(re.findall(r"`make ([a-z-]+)", document.read_text(encoding="utf-8")))
    assert {"demo", "test"} <= named <= targets


def test_the_readme_is_one_screen() -> None:
    assert len(README.read_text(encoding="utf-8").splitlines()) <= 200


@pytest.mark.parametrize("block", [pytest.param(b, id=f"{name(p)}: {b.splitlines()[0]}") for p, b in PYTHON])
def test_python_compiles(block: str) -> None:
    compile(block, "example", "exec")


@pytest.mark.server
@pytest.mark.long
def test_the_readers_way_from_checkpoint_to_search(
    server,
    client: Client,
    gallery_folder: Path,
    demo_checkpoint: Path,
    clips: list,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """README's commands and those of operations, in order, with the demo's checkpoint and videos for the reader's."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FRAMESIFT_SERVER", server.address)
    for folder in ("videos", "films", "galleries"):
        (tmp_path / folder).mkdir()
    for clip in clips[:4]:
        (tmp_path / "videos" / clip.video.name).symlink_to(clip.video)
    (tmp_path / "films/b.mp4").symlink_to(clips[0].video)
    (tmp_path / "demo.safetensors").symlink_to(demo_checkpoint)
    (tmp_path / "ids.txt").write_text("".join(f"{clip.video.name}\n" for clip in clips[:2]), encoding="utf-8")
    (tmp_path / "galleries/mine").symlink_to(gallery_folder)
    for id_ in ("old/clip.mp4", "films/a.mp4", "films/old.mp4"):
        client.index(clips[0].video, id=id_)
    ran = []
    for line in (*console(README), *console(OPERATIONS)):
        words = shlex.split(line.replace("model_best.pth", "demo.safetensors"))
        if words[0] != "framesift" or words[1] in (*NOT_RUN, "quantise") or words[1:3] == CALIBRATE:
            continue
        if ELSEWHERE in line or "--ray" in words:
            continue
        result = CliRunner().invoke(main, words[1:], catch_exceptions=False)
        if "tensorrt" in words and find_spec("tensorrt") is None:
            # TensorRT builds on a GPU alone; without it the command must say what is wrong.
            assert result.output.splitlines()[-1].startswith("Error: "), line
            continue
        assert result.exit_code == 0, f"{line}\n{result.output}"
        ran.append(words[1])
    assert {"export", "check", "index", "search", "videos", "gallery", "repository", "build"} <= set(ran)
    assert (tmp_path / "deployments/mine/Dockerfile").is_file()


@pytest.mark.server
@pytest.mark.long
def test_python_of_the_documents_of_use(
    server, clips: list, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos/test-00000.mp4").symlink_to(clips[0].video)
    pages = README, OPERATIONS, FILTERS, LIKES, SEGMENTS
    for block in (block for page in pages for block in blocks(page, "python")):
        exec(compile(block.replace("127.0.0.1:8001", server.address), "a document", "exec"), {})
    assert "at " in capsys.readouterr().out


def test_python_of_the_plugin_page(bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The change of a graph is run; the engine's build needs TensorRT and a GPU."""
    import onnx

    monkeypatch.chdir(tmp_path)
    (tmp_path / "scorer.onnx").symlink_to(bundle.graph(SCORER))
    first, *_ = blocks(PLUGIN, "python")
    exec(compile(first, "tensorrt-plugin.md", "exec"), {})
    inputs = onnx.load("scorer-float16.onnx").graph.input
    assert {value.name for value in inputs if value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT16} == {
        "frame_vectors"
    }
    onnx.checker.check_model("scorer-float16.onnx")
