"""The chart with some values, and what Kubernetes' schemas and the definition of Ray clusters say of what it makes."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import helm_python as helm
import jsonschema
import kubernetes_validate
import yaml
from kubernetes_validate.utils import all_versions

CHART = Path(__file__).parents[3] / "serving" / "repository" / "chart"
VERSIONS = sorted(set(all_versions()), key=lambda v: [*map(int, v.split("."))])[-3:]
NAME = "search-framesift"

# What has to be there so that a value shows: everything that can be switched on, as securely as can be.
FULL: dict[str, Any] = {
    "secrets": {"tls": "tls", "tokens": "tokens", "clients": "ca", "probe": "probe"},
    "gallery": {"accessMode": "ReadWriteMany"},
    "autoscaling": {"enabled": True},
    "podMonitor": {"enabled": True, "tokenSecret": "scrape"},
    "disruptionBudget": {"enabled": True},
    "indexing": {"enabled": True, "shards": 4, "videosClaim": "films"},
    "tracing": {"endpoint": "http://collector:4318"},
}
_DEFINED_ELSEWHERE = ("PodMonitor", "RayCluster")
_TEXTS = {"type": "object", "additionalProperties": {"type": "string"}}
_COUNT = {"type": "integer", "minimum": 0, "maximum": 2**31 - 1}


def _strict(required: tuple[str, ...], **fields: Any) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": False, "required": [*required], "properties": fields}


# Of KubeRay's definition of a RayCluster (ray.io/v1) the fields that the chart may write, and no others. Pods are
# compared with Kubernetes' own schemas.
_RAY_CLUSTER = _strict(
    ("apiVersion", "kind", "metadata", "spec"),
    apiVersion={"const": "ray.io/v1"},
    kind={"const": "RayCluster"},
    metadata=_strict(("name", "labels"), name={"type": "string", "maxLength": 47}, labels=_TEXTS),
    spec=_strict(
        ("rayVersion", "headGroupSpec", "workerGroupSpecs"),
        rayVersion={"type": "string", "pattern": r"^\d+\.\d+\.\d+$"},
        headGroupSpec=_strict(("rayStartParams", "template"), rayStartParams=_TEXTS, template={"type": "object"}),
        workerGroupSpecs={
            "type": "array",
            "minItems": 1,
            "items": _strict(
                ("groupName", "replicas", "minReplicas", "maxReplicas", "rayStartParams", "template"),
                groupName={"type": "string", "pattern": "^[a-z]([-a-z0-9]*[a-z0-9])?$"},
                replicas=_COUNT,
                minReplicas=_COUNT,
                maxReplicas=_COUNT,
                rayStartParams=_TEXTS,
                template={"type": "object"},
            ),
        },
    ),
)


@cache
def chart() -> helm.Chart:
    return helm.Chart.load(CHART)


def with_(values: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """Values with another at a path."""
    first, _, rest = path.partition(".")
    return {**values, first: with_(values.get(first, {}), rest, value) if rest else value}


def sharded(kind: str) -> dict[str, Any]:
    """Values of a release whose gallery is in shards, with everything that can be switched on."""
    room = {"workers": 6, "processors": 4, "tokenSecret": "ray"}
    indexing = {**FULL["indexing"], "shards": 1, "rayActors": 1}
    return {**FULL, "cluster": {"kind": kind, **room}, "indexing": indexing}


def objects(values: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """What the chart makes, by kind; those of the Ray cluster by kind and what they are for."""
    made: dict[str, dict[str, Any]] = json.loads(_rendered(json.dumps(values)))
    return made


@cache
def _rendered(values: str) -> str:
    rendered = chart().render(json.loads(values), name="search", namespace="films")
    made = [one for name, text in rendered.items() if name.endswith(".yaml") for one in yaml.safe_load_all(text) if one]
    named = {_called(one): one for one in made}
    assert len(named) == len(made)
    return json.dumps(named)


def _called(one: dict[str, Any]) -> str:
    beside = one["metadata"]["name"].removeprefix(NAME)
    if one["kind"] == "RayCluster":
        # Behind it stands what its pods are.
        beside = beside.rpartition("-")[0]
    return f"{one['kind']}{beside.replace('-', ' ', 1)}" if beside.startswith("-ray") else str(one["kind"])


def check(made: dict[str, dict[str, Any]]) -> None:
    """Compare objects with the schemas of the newest Kubernetes versions."""
    assert len(VERSIONS) == 3
    for one in made.values():
        templates: list[Any] = []
        if one["kind"] == "RayCluster":
            jsonschema.validate(one, _RAY_CLUSTER)
            templates = [part["template"] for part in (one["spec"]["headGroupSpec"], *one["spec"]["workerGroupSpecs"])]
        found = [{"apiVersion": "v1", "kind": "PodTemplate", "metadata": {}, "template": each} for each in templates]
        if one["kind"] not in _DEFINED_ELSEWHERE:
            found.append(one)
        for version in VERSIONS:
            for each in found:
                assert kubernetes_validate.validate(each, version, strict=True) == version.rpartition(".")[0]


def pods(made: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Every pod that the objects make, by the object and the pod's part in it."""
    found = {}
    for name, one in made.items():
        if one["kind"] == "RayCluster":
            found["head"] = one["spec"]["headGroupSpec"]["template"]["spec"]
            (found["worker"],) = (group["template"]["spec"] for group in one["spec"]["workerGroupSpecs"])
        elif "template" in one.get("spec", {}):
            found[name.removeprefix("StatefulSet ray-")] = one["spec"]["template"]["spec"]
    return found
