"""Python 3.12 as the Dockerfile makes it: its own line is run, and what it makes decodes, indexes and searches."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from framesift import Client
from framesift.export.bundle.store import Bundle
from framesift.serving.repository.deploy import deploy
from framesift.serving.server.addresses import choose

from .container import environment, image, started

pytestmark = [pytest.mark.server, pytest.mark.slow, pytest.mark.timeout(1800)]

VERSION = "3.12"
# What of a deployment needs neither torch nor a GPU.
PACKAGES = ("export/bundle", "serving")
IMPORT_AND_DECODE = """
import importlib, json, sys
from importlib.metadata import distributions
from pathlib import Path
import numpy as np
root, packages, video, model = Path(sys.argv[1]), sys.argv[2].split(","), sys.argv[3], Path(sys.argv[4])
names = [
    ".".join(("framesift", *path.relative_to(root).with_suffix("").parts))
    for package in packages
    for path in sorted((root / package).rglob("*.py"))
    if path.name != "__init__.py"
]
for name in names:
    module = importlib.import_module(name)
    assert module.__file__.startswith(str(root)), module.__file__
from framesift.serving.backends.video_decoder import VideoDecoder
decoder = VideoDecoder()
decoder.setup({}, model)
(answer,) = decoder.run([{"video": np.fromfile(video, np.uint8)[None]}])
frames = answer["frames"]
print(json.dumps({
    "modules": len(names),
    "frames": frames.shape,
    "spread": float(frames.std()),
    "installed": {d.name: d.version for d in distributions()},
}))
"""


def interpreter() -> str:
    """A Python of the image's version."""
    found = [shutil.which(f"python{VERSION}")]
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"), "versions")
    found += map(str, versions.glob(f"{VERSION}.*/bin/python{VERSION}"))
    for python in filter(None, found):
        if subprocess.run([python, "-c", ""], capture_output=True, check=False).returncode == 0:
            return python
    pytest.skip(f"no Python {VERSION} here")


def instruction(dockerfile: str, word: str) -> str:
    """The one RUN of a Dockerfile that says ``word``, as the shell gets it."""
    (found,) = (
        line for line in re.sub(r"\\\n", " ", dockerfile).splitlines() if line.startswith("RUN ") and word in line
    )
    return found.removeprefix("RUN ")


@pytest.fixture(scope="module")
def opt(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The image's /opt/framesift: the deployment, and the environment that the Dockerfile's line makes in it."""
    python = interpreter()
    root = tmp_path_factory.mktemp("opt")
    deploy(bundle, root / "framesift", "container")
    (root / "bin").mkdir()
    (root / "bin/python3").symlink_to(python)
    line = instruction((root / "framesift/Dockerfile").read_text(), "--without-pip")
    assert "--require-hashes" in line
    assert "--only-binary=:all:" in line
    line = line.replace("/opt/framesift", shlex.quote(str(root / "framesift")))
    told = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    told["PATH"] = f"{root / 'bin'}:/usr/bin:/bin"
    run = subprocess.run(["sh", "-c", line], env=told, cwd=root, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    return root / "framesift"


def test_it_holds_what_is_pinned_and_decodes(opt: Path, clips: list) -> None:
    pinned = dict(
        re.findall(r"^(\S+)==(\S+) --hash=sha256:[0-9a-f]{64}$", (opt / "requirements.txt").read_text(), re.M)
    )
    words = [opt / "python/framesift", ",".join(PACKAGES), clips[0].video, opt / "model_repository/video_decoder/1"]
    run = subprocess.run(
        [opt / "environment/bin/python3", "-P", "-c", IMPORT_AND_DECODE, *map(str, words)],
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(opt / "python")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    told = json.loads(run.stdout)
    assert told["installed"] == pinned
    assert told["modules"] > 100
    assert told["frames"][-3:] == [3, *told["frames"][-2:]]
    assert told["spread"] > 1


def test_its_start_script_serves(opt: Path, clips: list, tmp_path: Path) -> None:
    told = environment(
        opt / "environment/bin",
        triton=image(tmp_path / "tritonserver", opt, VERSION),
        gallery=tmp_path / "gallery",
        secrets=tmp_path / "none",
        host="127.0.0.1",
        port=choose("127.0.0.1", None),
    )
    with (
        started(opt, told, tmp_path / "log") as container,
        Client(container.address, timeout_s=120) as client,
    ):
        for clip in clips[:3]:
            last = client.index(clip.video, id=clip.video.name)
        client.wait_searchable(last, 60)
        assert client.search(clips[1].captions[0], top=3).hits[0].id == clips[1].video.name
        assert Path(f"/proc/{container.pid('door')}/maps").read_text().count(f"libpython{VERSION}")
