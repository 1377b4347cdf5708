"""The compose files: what Compose itself reads in them, and rights."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace

import pytest
import yaml
from compose_spec import PyCompose

from framesift.serving.repository.container import container_files
from framesift.serving.repository.render import reference_manifest

MANIFEST = replace(reference_manifest(), fingerprint="ab" * 32)


def read(text: str, environment: Mapping[str, str]) -> PyCompose:
    """A compose file with an environment, as the Compose Specification has it.

    Raises:
        ValueError: a field or value that it does not know.
    """

    def value(found: re.Match[str]) -> str:
        given = environment.get(found[1], "")
        return {":-": given or found[3], ":+": found[3] if given else ""}[found[2]]

    whole = re.sub(r"\$\{(\w+)(:[-+])([^}]*)\}", value, text)
    assert "${" not in whole
    return PyCompose.from_json(json.dumps(yaml.safe_load(whole)))


@pytest.mark.parametrize("environment", [{}, {"RAY": "1", "OWNER": "5:5", "PUBLISH": "0.0.0.0:443"}], ids=["", "given"])
@pytest.mark.parametrize("chosen", [False, True], ids=["", "chosen"])
def test_compose_reads_the_files(environment: dict[str, str], chosen: bool) -> None:
    other = replace(MANIFEST, fingerprint="cd" * 32) if chosen else None
    files = container_files(MANIFEST, other)
    told = read(files["compose.yaml"], environment)
    assert sorted(told.service_names()) == ["index", "server"]
    server = told.to_dict()["services"]["server"]
    assert server["build"]["args"] == {"RAY": environment.get("RAY", "")}
    assert server["image"].endswith("-ray") is ("RAY" in environment)
    (devices,) = read(files["compose.gpu.yaml"], environment).to_dict()["services"]["server"]["deploy"]["resources"][
        "reservations"
    ]["devices"]
    assert (devices["count"], devices["capabilities"]) == ("all", ["gpu"])


def test_a_misspelt_field_would_be_found() -> None:
    text = container_files(MANIFEST)["compose.yaml"]
    with pytest.raises(ValueError, match="readonly"):
        read(text.replace("read_only", "readonly"), {})


def test_compose_gives_no_more_rights_than_run_sh() -> None:
    files = container_files(MANIFEST)
    services = yaml.safe_load(files["compose.yaml"])["services"]
    for service in services.values():
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["read_only"] is True
        assert not service["user"].startswith("0")
    server = services["server"]
    assert server["ports"] == ["${PUBLISH:-127.0.0.1:8001}:8001"]
    assert set(server["environment"]) == set(re.findall(r"--env (\w+)", files["run.sh"]))
    chosen = yaml.safe_load(container_files(MANIFEST, replace(MANIFEST, fingerprint="cd" * 32))["compose.yaml"])
    for service in chosen["services"].values():
        assert service["image"].endswith(":abababababab-cdcdcdcdcdcd${RAY:+-ray}")
        assert "${SHORTLIST_GALLERY:-./shortlist}:/shortlist" in service["volumes"]
    assert "shortlist" not in str(services)
