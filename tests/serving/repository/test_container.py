"""What a deployment for NVIDIA's container is made of, beside the models."""

from __future__ import annotations

import itertools
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from framesift.export.bundle.store import Bundle
from framesift.export.bundle.video.limits import VARIABLE as VIDEO_LIMITS
from framesift.serving.launch import main
from framesift.serving.repository.container import RELEASE, container_files
from framesift.serving.repository.pinning import pinned, wanted
from framesift.serving.repository.render import reference_manifest

ROOT = Path(__file__).parents[3]
LINE = re.compile(r"(?P<name>\S+)==(?P<version>\S+) --hash=sha256:[0-9a-f]{64}")
FILES = container_files(reference_manifest())


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def versions(text: str) -> dict[str, str]:
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    found = [LINE.fullmatch(line) for line in lines]
    assert all(found), lines
    return {canonical(match["name"]): match["version"] for match in found if match}


def test_every_requirement_is_pinned_at_the_version_that_is_tested() -> None:
    plain, ray = versions(FILES["requirements.txt"]), versions(FILES["requirements-ray.txt"])
    # Both are installed together.
    assert not plain.keys() & ray.keys()
    here = plain | ray
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    tested = {canonical(name): version for name, _, version in (line.partition("==") for line in lines)}
    assert here == {name: tested[name] for name in here}
    asked, more = (
        {canonical(re.split(r"[\[<>=!~; ]", requirement)[0]) for requirement in wanted(*extras)}
        for extras in ((), ("ray",))
    )
    assert {"av", "numpy", "opentelemetry-sdk", "pylance", "pyvoy", "tritonclient"} <= asked <= plain.keys()
    assert more - asked <= ray.keys()
    assert {"ray", "fsspec"} <= more - asked
    assert not here.keys() & {"nvidia-pytriton", "torch"}
    assert here["numpy"].startswith("1.26.")
    compiler = versions(FILES["requirements-gpu.txt"])
    assert compiler == {"triton": tested["triton"]}


def test_the_scripts_tell_and_pass_on_every_setting() -> None:
    settings = {str(option.envvar) for option in main.params if getattr(option, "envvar", None)}
    assert {"FRAMESIFT_GALLERY", "FRAMESIFT_ACCESS_LOG", "OTEL_EXPORTER_OTLP_ENDPOINT"} <= settings
    assert [name for name in settings if not re.search(rf"{name}[ =]", FILES["start.sh"])] == []
    # Where things lie in the image, and what is published, is not a setting of whoever runs it.
    fixed = {f"FRAMESIFT_{name}" for name in ("GALLERY", "SHORTLIST_GALLERY", "SECRETS", "HOST", "PORT", "TRITON")}
    assert set(re.findall(r"--env (\w+)", FILES["run.sh"])) - {VIDEO_LIMITS} == settings - fixed


def test_only_files_of_the_index_are_pinned() -> None:
    def entry(url: str) -> dict:
        source = {"url": url, "archive_info": {"hashes": {"sha256": "0" * 64}}}
        return {"metadata": {"name": "One", "version": "1.0"}, "download_info": source}

    made = pinned({"install": [entry("https://files.pythonhosted.org/packages/one.whl")]})
    assert made.endswith(f"\nOne==1.0 --hash=sha256:{'0' * 64}\n")
    assert "One==" not in pinned({"install": [entry("https://files.pythonhosted.org/packages/one.whl")]}, beside=made)
    with pytest.raises(ValueError, match="is no file of PyPI"):
        pinned({"install": [entry("file:///wheels/one.whl")]})


def test_the_image_is_of_a_release_that_survives_cancelled_calls_and_no_root() -> None:
    assert tuple(map(int, RELEASE.split("."))) >= (25, 4)
    dockerfile = FILES["Dockerfile"]
    assert re.search(r"^FROM nvcr\.io/nvidia/tritonserver:\$\{RELEASE\}-py3$", dockerfile, re.M)
    assert "7840 and 8078" in dockerfile
    words = [line.split()[0] for line in dockerfile.splitlines() if re.match(r"[A-Z]+ ", line)]
    user = words.index("USER")
    assert "USER 1000:1000" in dockerfile
    assert not {"RUN", "COPY", "ADD"} & set(words[user:])
    assert {"HEALTHCHECK", "CMD"} <= set(words[user:])
    # A plain image has no Ray.
    assert re.search(r"^ARG RAY=$", dockerfile, re.M)
    assert "requirements.txt ${RAY:+-r /opt/framesift/requirements-ray.txt}" in dockerfile
    # The door's, and no other: gRPC, health and metrics are all there.
    assert re.findall(r"^EXPOSE (.*)$", dockerfile, re.M) == ["8001"]


def test_an_image_is_named_after_its_model(bundle: Bundle) -> None:
    name = f"image=framesift/{bundle.manifest.system}:{bundle.manifest.fingerprint[:12]}\n"
    assert name in container_files(bundle.manifest)["run.sh"]
    assert re.fullmatch(r"image=[a-z0-9_/]+:[0-9a-f]{12}\n", name)


@pytest.fixture
def docker(tmp_path: Path) -> dict[str, str]:
    """An environment whose docker says what it was called with."""
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin/docker"
    program.write_text(f'#!{sys.executable}\nimport sys\nprint(*sys.argv[1:], sep="\\n")\nprint("--end")\n')
    program.chmod(0o755)
    return {"PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin"}


def run(docker: dict[str, str], folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    script = folder / "run.sh"
    script.write_text(FILES["run.sh"])
    command = ["bash", str(script), *arguments]
    return subprocess.run(command, env=docker, cwd=folder, capture_output=True, text=True, check=False)


def test_a_container_has_no_rights_and_is_reached_from_this_machine_alone(
    docker: dict[str, str], tmp_path: Path
) -> None:
    gallery, secrets = tmp_path / "gallery", tmp_path / "my secrets"
    gallery.mkdir()
    secrets.mkdir()
    owner = gallery.stat().st_uid
    done = run(docker, tmp_path, str(gallery), str(secrets))
    if owner == 0:
        assert done.returncode == 1
        assert f"{gallery} belongs to root" in done.stderr
        subprocess.run(["chown", "1234:1234", str(gallery)], check=True)
        done = run(docker, tmp_path, str(gallery), str(secrets))
    assert done.returncode == 0, done.stderr
    build, started, _ = (call.strip().split("\n") for call in done.stdout.split("--end"))
    assert build[0] == "build"
    options = dict(itertools.pairwise(started))
    assert options["--user"] == f"{gallery.stat().st_uid}:{gallery.stat().st_gid}"
    assert {"--read-only", "no-new-privileges", f"{secrets}:/secrets:ro", f"{gallery}:/gallery"} <= set(started)
    assert options["--cap-drop"] == "ALL"
    assert options["--publish"] == "127.0.0.1:8001:8001"
    assert options["--shm-size"] == "4g"
    assert started[-1] == build[build.index("--tag") + 1]


def test_what_keeps_it_from_serving_is_said_before_anything_is_built(docker: dict[str, str], tmp_path: Path) -> None:
    done = run(docker, tmp_path, str(tmp_path / "gallery"))
    assert (done.returncode, done.stdout) == (1, "")
    assert "or set FRAMESIFT_INSECURE=1: everybody" in done.stderr
    done = run(docker, tmp_path, str(tmp_path / "gallery"), "absent")
    assert (done.returncode, done.stdout) == (1, "")
    assert "there is no folder of secrets at absent" in done.stderr
    program = tmp_path / "bin/docker"
    for fails, said in (("info", "Docker's daemon does not answer"), ("buildx", "install docker-buildx")):
        program.write_text(f"#!/bin/sh\n[ $1 != {fails} ]\n")
        done = run(docker, tmp_path, str(tmp_path / "gallery"), str(tmp_path))
        assert (done.returncode, done.stdout) == (1, "")
        assert said in done.stderr
    program.unlink()
    assert "run this on a machine with Docker" in run(without(docker), tmp_path).stderr
    assert not (tmp_path / "gallery").exists()


def test_a_gallery_that_root_makes_is_not_roots(docker: dict[str, str], tmp_path: Path) -> None:
    done = run({**docker, "FRAMESIFT_INSECURE": "1"}, tmp_path, str(tmp_path / "galleries/new"))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "galleries/new").stat().st_uid == (os.getuid() or 1000)
    assert "--user" in done.stdout.split("\n")
    with_ray = run({**docker, "FRAMESIFT_INSECURE": "1", "RAY": "1"}, tmp_path, str(tmp_path / "galleries/new"))
    build, started, _ = (call.strip().split("\n") for call in with_ray.stdout.split("--end"))
    assert build[:3] == ["build", "--build-arg", "RAY=1"]
    assert started[-1] == build[build.index("--tag") + 1] == done.stdout.split("--end")[1].split("\n")[-2] + "-ray"
    told = run({**docker, "FRAMESIFT_INSECURE": "1", "GPUS": "none"}, tmp_path, str(tmp_path / "galleries/new"))
    assert "--gpus" not in told.stdout.split("\n")


def without(docker: dict[str, str]) -> dict[str, str]:
    """An environment whose PATH has the shell's tools and no docker."""
    folder = Path(docker["PATH"].partition(":")[0]).parent / "tools"
    folder.mkdir()
    for tool in ("bash", "realpath", "dirname", "mkdir", "stat", "id"):
        (folder / tool).symlink_to(shutil.which(tool) or tool)
    return {"PATH": str(folder)}


def test_a_second_gallery_is_mounted_where_another_bundle_chooses(tmp_path: Path) -> None:
    manifest = replace(reference_manifest(), fingerprint="a" * 64)
    files = container_files(manifest, replace(manifest, fingerprint="b" * 64))
    script = tmp_path / "run.sh"
    script.write_text(files["run.sh"])
    assert subprocess.run(["bash", "-n", str(script)], check=False).returncode == 0
    assert f"image=framesift/dong2026:{'a' * 12}-{'b' * 12}\n" in files["run.sh"]
    assert '--volume "$shortlist:/shortlist" \\\n' in files["run.sh"]
    assert 'for folder in "$gallery" "$shortlist"; do\n' in files["run.sh"]
    assert "shortlist" not in container_files(manifest)["run.sh"].lower()
