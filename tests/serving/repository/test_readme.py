"""The README of a deployment: it names all that is there and nothing else, and what was chosen."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from framesift import __version__
from framesift.__main__ import main
from framesift.export.bundle.storages import stored
from framesift.export.bundle.store import Bundle
from framesift.serving.repository.container import container_files
from framesift.serving.repository.deploy import deploy
from framesift.serving.repository.placement import Placement
from framesift.serving.repository.render import reference_manifest

MANIFEST = replace(reference_manifest(), fingerprint="ab" * 32)


def table(text: str, heading: str) -> list[str]:
    """The first cells of the table below a heading, one name a piece."""
    rows = re.findall(r"^\| (.+?) \|", text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0], re.MULTILINE)
    return [name.strip("`") for row in rows[1:] for name in row.split(", ")]


def test_it_names_every_file_and_folder(bundle: Bundle, tmp_path: Path) -> None:
    deploy(bundle, tmp_path / "out", "container", placement=Placement("int8"))
    text = (tmp_path / "out" / "README.md").read_text()
    there = {f"{path.name}/" if path.is_dir() else path.name for path in (tmp_path / "out").iterdir()}
    assert sorted(table(text, "What is in this folder")) == sorted(there - {"README.md"})
    assert "Gallery in memory: int8." in text
    assert f"framesift {__version__}" in text


@pytest.mark.parametrize("chosen", [False, True], ids=["", "chosen"])
@pytest.mark.parametrize("engines", [False, True], ids=["", "engines"])
def test_it_tells_the_image_s_port_and_volumes_and_what_was_chosen(chosen: bool, engines: bool) -> None:
    other = replace(MANIFEST, system="xclip", fingerprint="cd" * 32) if chosen else None
    files = container_files(MANIFEST, other, engines=engines)
    text, dockerfile = files["README.md"], files["Dockerfile"]
    tag = "abababababab-cdcdcdcdcdcd" if chosen else "abababababab"
    assert text.startswith(f"# framesift/dong2026:{tag}\n")
    found = table(text, "Port, volumes and health")
    (port,) = re.findall(r"^EXPOSE (\d+)$", dockerfile, re.MULTILINE)
    (volumes,) = re.findall(r"^VOLUME (.+)$", dockerfile, re.MULTILINE)
    assert f"port {port}" in found
    # One that no bundle chooses for has no use for a second gallery.
    assert {*volumes.split()} - {*found} == (set() if chosen else {"/shortlist"})
    mounted = set(re.findall(r':(/\w+)(?::ro)?"', files["run.sh"])) | set(re.findall(r":(/engines) ", files["run.sh"]))
    assert mounted == {*found} - {f"port {port}", "/dev/shm"}
    assert ("engines/" in table(text, "What is in this folder")) is engines
    assert ("TensorRT engines" in text) is engines
    assert ("xclip, fingerprint `cdcdcdcdcdcd`" in text) is chosen
    assert "{" not in text
    # What it says to set is what the scripts read.
    for name in re.findall(r"\b(FRAMESIFT_\w+|PUBLISH|SHM|VIDEOS|SHORTLIST_GALLERY)\b", text):
        assert name in files["run.sh"] or name in ("FRAMESIFT_TOKEN", "FRAMESIFT_TLS_CA"), name


def test_a_coarse_stage_is_told_with_what_it_needs(topk_manifest) -> None:
    assert "coarse" not in container_files(topk_manifest)["README.md"]
    coarse = container_files(stored(topk_manifest, "float16", coarse=True))["README.md"]
    assert "Searches have a coarse stage: calibrate the gallery" in coarse


def test_its_commands_are_there() -> None:
    text = container_files(MANIFEST)["README.md"]
    commands = re.findall(r"framesift (index|search|token|gallery calibrate|repository deploy)\b", text)
    assert {"index", "search", "token", "repository deploy"} <= {*commands}
    for line in re.findall(r"^(?:\S+=\S+ )?framesift (.+?)(?: +#.*)?$", text, re.MULTILINE):
        command, known = main.commands[line.split()[0]], set()
        for parameter in command.params:
            known.update(parameter.opts)
        assert set(re.findall(r"--[\w-]+", line)) <= known
