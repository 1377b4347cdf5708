"""What is released: the wheel and the sdist, built from the checkout, and served from an environment of its own."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from email.parser import Parser
from pathlib import Path

import pytest

from framesift import __version__
from framesift.export.bundle.store import Bundle
from framesift.export.corpus.manifest import Clip
from framesift.kernels.library import LIBRARIES, NOT_COMPILED, library
from framesift.serving.server.embedded import EmbeddedServer

pytestmark = [pytest.mark.server, pytest.mark.slow, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
DATA = {
    "py.typed",
    "export/bundle/text/clip_merges.txt.gz",
    "export/bundle/text/bert_uncased_vocab.txt.gz",
    "export/demo/demo.safetensors",
    "export/evaluation/published.json",
    *(path.relative_to(ROOT).as_posix() for path in (ROOT / "serving/repository").glob("requirements*.txt")),
    *(
        path.relative_to(ROOT).as_posix()
        for folder in ("serving/repository/chart", "serving/front/page/static")
        for path in (ROOT / folder).rglob("*.*")
    ),
}
INDEX_AND_WAIT = """
import sys
from framesift import Client
with Client(sys.argv[1]) as client:
    client.wait_searchable(client.index(sys.argv[2]))
"""
FIND_COMPILED = """
from framesift.kernels.library import LIBRARIES, library
print(*(name for name in LIBRARIES if library(name) is not None))
"""
# What an installation must not see of the environment that runs the tests.
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}


def sources() -> set[str]:
    """The modules of every declared package, but for the benchmarks that pytest runs."""
    folders = [package.removeprefix("framesift").replace(".", "/").strip("/") for package in SETTINGS["packages"]]
    found = {path.relative_to(ROOT).as_posix() for folder in folders for path in (ROOT / folder).glob("*.py")}
    return {path for path in found if not Path(path).name.startswith(("bench_", "conftest"))}


def wheel_in(folder: Path) -> Path:
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `make wheel` leaves: the sdist, and the wheel with the tag that auditwheel agrees with."""
    out = tmp_path_factory.mktemp("dist")
    # As the environment is: what it holds is not to be changed under the tests.
    current = f"--old-file={sys.prefix}/.installed"
    subprocess.run(["make", current, "wheel", f"DIST={out}", f"VENV={sys.prefix}"], cwd=ROOT, check=True)
    return out


@pytest.fixture(scope="module")
def environment(released: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of commands of a fresh environment with the wheel's server extra."""
    root = tmp_path_factory.mktemp("environment")
    venv.create(root, with_pip=True)
    install(root / "bin", f"{wheel_in(released)}[server]", "-c", str(ROOT / "constraints.txt"))
    return root / "bin"


def install(commands: Path, *arguments: str) -> None:
    run(commands / "python", "-m", "pip", "install", "--quiet", "--no-compile", *arguments)


def run(*command: object) -> str:
    words = list(map(str, command))
    done = subprocess.run(words, cwd="/", env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{words}\n{done.stdout}{done.stderr}"
    return done.stdout


def test_the_wheel_holds_the_packages_and_their_data_alone(released: Path) -> None:
    with zipfile.ZipFile(wheel_in(released)) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name and not name.endswith("/")}
        about = Parser().parsestr(wheel.read(f"framesift-{__version__}.dist-info/METADATA").decode())
    libraries = {f"framesift/kernels/_scan_{name}.abi3.so" for name in LIBRARIES}
    assert names == {f"framesift/{path}" for path in sources() | DATA} | libraries
    assert (about["Version"], about["Requires-Python"]) == (__version__, ">=3.11")
    assert about["Author"] == "The framesift developers"
    assert about["License-Expression"] == "Apache-2.0"
    assert all(about.get_all(field) for field in ("Keywords", "Classifier", "Summary"))


def test_one_wheel_serves_every_python_and_most_linux(released: Path) -> None:
    name = wheel_in(released).name
    assert re.fullmatch(rf"framesift-{__version__}-cp311-abi3-manylinux[\w.]+_x86_64\.whl", name), name


def test_the_sdist_holds_what_the_wheel_is_built_from(released: Path) -> None:
    (path,) = released.glob("*.tar.gz")
    with tarfile.open(path) as sdist:
        names = {member.name.partition("/")[2] for member in sdist.getmembers() if member.isfile()}
    headers = {path.relative_to(ROOT).as_posix() for path in ROOT.glob("kernels/**/csrc/*")}
    assert sources() | DATA | headers | {"constraints.txt", "LICENSE", "NOTICE", "README.md"} <= names
    assert not [name for name in names if name.startswith(("tests/", "bench/results/", "bench/bench_"))]


@contextmanager
def serving(commands: Path, bundle: Path, gallery: Path) -> Iterator[str]:
    """The gRPC address of `framesift serve` while the block runs."""
    port = str(free_port())
    command = [str(commands / "framesift"), "serve", str(bundle), "--gallery", str(gallery), "--port", port]
    with subprocess.Popen(command, cwd="/", env=ENVIRONMENT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline().startswith("ready"), "the server did not start"
            yield f"127.0.0.1:{port}"
        finally:
            process.terminate()
    assert process.returncode == 0


def free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return int(bound.getsockname()[1])


def compiled(commands: Path) -> list[str]:
    """The compiled scorers that an installation finds and this processor can run."""
    return run(commands / "python", "-c", FIND_COMPILED).split()


@pytest.mark.parametrize("compiler", ["a compiler", "no compiler"])
def test_an_installation_answers_a_search(
    compiler: str, released: Path, environment: Path, bundle: Bundle, clips: list[Clip], tmp_path: Path
) -> None:
    # Files that no checkout is near.
    shutil.copytree(bundle.root, tmp_path / "bundle")
    (tmp_path / "videos").mkdir()
    for clip in clips[:4]:
        shutil.copyfile(clip.video, tmp_path / "videos" / clip.video.name)
    if compiler == "no compiler":
        command = [sys.executable, "-m", "build", "--outdir", tmp_path / "dist", ROOT]
        subprocess.run(command, env={**os.environ, "CC": "false"}, check=True)
        install(environment, "--force-reinstall", "--no-deps", str(wheel_in(tmp_path / "dist")))
        assert compiled(environment) == []
    else:
        assert compiled(environment) == [name for name in LIBRARIES if library(name) is not None]
    framesift = environment / "framesift"
    said = run(framesift, "--version").splitlines()[-1]
    assert said == f"scorer: {next(iter(compiled(environment)), NOT_COMPILED)}"
    place = run(environment / "python", "-c", "import framesift; print(framesift.__file__)")
    assert Path(place).is_relative_to(environment.parent)
    with serving(environment, tmp_path / "bundle", tmp_path / "gallery") as address:
        indexed = run(framesift, "index", tmp_path / "videos", "--server", address)
        assert indexed == "4 indexed, 0 skipped, 0 failed\n"
        run(environment / "python", "-c", INDEX_AND_WAIT, address, clips[0].video)
        found = json.loads(run(framesift, "search", clips[2].captions[0], "--server", address, "--json"))
    assert found["hits"][0]["id"] == clips[2].video.name
    assert len(found["hits"]) == 4


def interpreter(version: str) -> str:
    """The machine's Python of that version, pyenv's among them; without one the test is skipped."""
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    for python in (f"python{version}", *map(str, sorted(root.glob(f"versions/{version}.*/bin/python")))):
        if shutil.which(python) and not subprocess.run([python, "-c", ""], capture_output=True, check=False).returncode:
            return python
    pytest.skip(f"no Python {version} here")


@pytest.mark.parametrize("version", ["3.12", "3.13"])
def test_later_pythons_have_the_client(
    version: str, released: Path, server: EmbeddedServer, indexed: list[Clip], tmp_path: Path
) -> None:
    run(interpreter(version), "-m", "venv", tmp_path / "environment")
    commands = tmp_path / "environment" / "bin"
    # Of numpy what that Python has: 1.26 ends with 3.12.
    pins = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("numpy==")]
    (tmp_path / "constraints.txt").write_text("\n".join(pins))
    install(commands, str(wheel_in(released)), "-c", str(tmp_path / "constraints.txt"))
    assert compiled(commands) == [name for name in LIBRARIES if library(name) is not None]
    options = ("--server", server.address, "--json")
    found = json.loads(run(commands / "framesift", "search", indexed[2].captions[0], *options))
    assert found["hits"][0]["id"] == indexed[2].video.name


def test_what_needs_another_extra_says_so(environment: Path) -> None:
    command = [environment / "framesift", "export", ROOT / "export/demo/demo.safetensors", "--out", "bundle"]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "pip install 'framesift[export]'" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("version", ["3.11", "3.12"])
def test_what_pip_finds_today_serves(version: str, released: Path, clips: list[Clip], tmp_path: Path) -> None:
    """No constraints, a fresh environment: exported, served, indexed and searched by one Python."""
    run(interpreter(version), "-m", "venv", tmp_path / "environment")
    commands = tmp_path / "environment" / "bin"
    install(commands, f"{wheel_in(released)}[export,server]")
    shutil.copyfile(ROOT / "export/demo/demo.safetensors", tmp_path / "demo.safetensors")
    run(commands / "framesift", "export", tmp_path / "demo.safetensors", "--out", tmp_path / "bundle")
    with serving(commands, tmp_path / "bundle", tmp_path / "gallery") as address:
        indexed = run(commands / "framesift", "index", clips[0].video, "--server", address)
        assert indexed == "1 indexed, 0 skipped, 0 failed\n"
        run(commands / "python", "-c", INDEX_AND_WAIT, address, clips[0].video)
        found = json.loads(run(commands / "framesift", "search", clips[0].captions[0], "--server", address, "--json"))
    assert [hit["id"] for hit in found["hits"]] == [clips[0].video.name]
