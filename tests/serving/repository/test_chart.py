"""The Helm chart: linted, rendered with every documented value changed, and compared with Kubernetes' schemas."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import helm_python as helm
import kubernetes_validate
import pytest
import yaml

from framesift import __version__
from framesift.serving.repository.container import container_files
from framesift.serving.repository.helm import chart_files
from framesift.serving.repository.render import reference_manifest

from .charts import CHART, FULL, VERSIONS, check, objects, sharded, with_

PAGE = (Path(__file__).parents[3] / "docs" / "kubernetes.md").read_text(encoding="utf-8")
TABLE = PAGE.partition("\n## Values\n")[2].partition("\n## ")[0]
DOCUMENTED = dict(re.findall(r"^\| `([\w.]+)` \| (.+?) \|", TABLE, re.MULTILINE))
TAINT = [{"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}]
VARIABLE = [{"name": "SEEN", "value": "yes"}]
FEW = {"requests": {"cpu": "3"}, "limits": {"memory": "7Gi", "nvidia.com/gpu": 1}}
PEERS = [{"namespaceSelector": {"matchLabels": {"team": "search"}}}]
AFFINITY = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "zone"}]}}
SPREAD = [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}]
NAMED = {"seen": "yes"}
# Another value for every documented one, and what else is needed for it to show.
CHANGED: dict[str, tuple[Any, dict[str, Any]]] = {
    "image.repository": ("registry.example.org/x", {}),
    "image.tag": ("0a1b2c3d4e5f", {}),
    "image.pullPolicy": ("Always", {}),
    "image.pullSecrets": ([{"name": "registry"}], {}),
    "replicas": (3, {"autoscaling.enabled": False}),
    "configuration": ("accelerated", {}),
    "videoLimits": ("work=120 bytes=1G", {}),
    "logFormat": ("text", {}),
    "accessLog": (True, {}),
    "logTexts": (True, {}),
    "tracing.endpoint": ("", {}),
    "tracing.ratio": (1, {}),
    "sharedMemory": ("8Gi", {}),
    "scratch": ("20Gi", {}),
    "resources": (FEW, {}),
    "startupSeconds": (1200, {}),
    "drainSeconds": (0, {}),
    "extraEnv": (VARIABLE, {}),
    "secrets.tls": ("other", {}),
    "secrets.tokens": ("other", {}),
    "secrets.clients": ("other", {}),
    "secrets.probe": ("other", {}),
    "secrets.insecure": (True, {}),
    "gallery.existingClaim": ("mine", {}),
    "gallery.folder": ("films", {}),
    "gallery.size": ("1Ti", {}),
    "gallery.storageClass": ("fast", {}),
    "gallery.accessMode": ("ReadWriteOnce", {"autoscaling.enabled": False}),
    "engines.existingClaim": ("engines", {}),
    "service.type": ("LoadBalancer", {}),
    "service.port": (443, {}),
    "service.headless": (True, {}),
    "service.annotations": (NAMED, {}),
    "autoscaling.enabled": (False, {}),
    "autoscaling.min": (2, {}),
    "autoscaling.max": (9, {}),
    "autoscaling.inFlight": (12, {}),
    "autoscaling.waiting": (4, {}),
    "autoscaling.scaleDownSeconds": (60, {}),
    "cluster.kind": ("none", {"indexing.rayActors": 0}),
    "cluster.shards": (4, {"indexing.parallelism": 1}),
    "cluster.shardReplicas": (2, {"cluster.workers": 12}),
    "cluster.deadlineSeconds": (2.5, {}),
    "cluster.workers": (9, {}),
    "cluster.processors": (8, {}),
    "cluster.memory": (16384, {}),
    "cluster.objectStore": (512, {}),
    "cluster.gpus": (2, {}),
    "cluster.shardGpus": (0.5, {"cluster.gpus": 1}),
    "cluster.headResources": (FEW, {}),
    "cluster.tokenSecret": ("other", {}),
    "cluster.nodeSelector": (NAMED, {}),
    "cluster.tolerations": (TAINT, {}),
    "cluster.topologySpread": (SPREAD, {}),
    "cluster.extraEnv": (VARIABLE, {}),
    "podMonitor.enabled": (False, {}),
    "podMonitor.interval": ("1m", {}),
    "podMonitor.labels": (NAMED, {}),
    "podMonitor.tokenSecret": ("other", {}),
    "networkPolicy.enabled": (False, {}),
    "networkPolicy.from": (PEERS, {}),
    "networkPolicy.to": ([{"to": PEERS, "ports": [{"port": 4318}]}], {}),
    "disruptionBudget.enabled": (False, {}),
    "indexing.enabled": (False, {}),
    "indexing.tag": ("0a1b2c3d4e5f", {}),
    "indexing.migrate": ("fc2e85047b79", {"indexing.shards": 1}),
    "indexing.split": ("films", {}),
    "indexing.rayActors": (2, {"indexing.parallelism": 1}),
    "indexing.shards": (16, {}),
    "indexing.parallelism": (2, {}),
    "indexing.paths": (["/videos/list.jsonl"], {}),
    "indexing.options": (["--force"], {}),
    "indexing.videosClaim": ("", {}),
    "indexing.retries": (0, {}),
    "indexing.keepSeconds": (60, {}),
    "indexing.resources": (FEW, {}),
    "indexing.nodeSelector": (NAMED, {}),
    "indexing.tolerations": (TAINT, {}),
    "indexing.extraEnv": (VARIABLE, {}),
    "serviceAccount.annotations": (NAMED, {}),
    "podAnnotations": (NAMED, {}),
    "podLabels": (NAMED, {}),
    "nodeSelector": (NAMED, {}),
    "tolerations": (TAINT, {}),
    "affinity": (AFFINITY, {}),
    "topologySpread": (SPREAD, {}),
    "priorityClass": ("high", {}),
    "runAs": (2000, {}),
}


def _at(values: dict[str, Any], path: str) -> Any:
    for name in path.split("."):
        values = values[name]
    return values


def test_every_value_is_documented_with_its_default() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    for path, told in DOCUMENTED.items():
        default = _at(values, path)
        if told.startswith("`"):
            assert yaml.safe_load(told.strip("`")) == default, path
    for leaf in map(".".join, _leaves(values)):
        assert any(f"{leaf}.".startswith(f"{path}.") for path in DOCUMENTED), f"{leaf} is not documented"
    assert set(DOCUMENTED) == set(CHANGED)


def _leaves(values: dict[str, Any], *above: str) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []
    for name, value in values.items():
        found += _leaves(value, *above, name) if isinstance(value, dict) and value else [(*above, name)]
    return found


_OF_SHARDS = {"indexing.split", "indexing.rayActors", *(path for path in CHANGED if path.startswith("cluster."))}
CASES = [(path, kind) for path in CHANGED for kind in (("statefulset", "kuberay") if path in _OF_SHARDS else ("none",))]


@pytest.mark.parametrize(("path", "kind"), CASES, ids=lambda part: part)
def test_every_value_changes_what_is_made_into_something_that_kubernetes_takes(path: str, kind: str) -> None:
    value, beside = CHANGED[path]
    before = FULL if kind == "none" else sharded(kind)
    for other, needed in beside.items():
        before = with_(before, other, needed)
    was, made = objects(before), objects(with_(before, path, value))
    assert made != was
    check({kind: one for kind, one in made.items() if one != was.get(kind)})


def test_nothing_has_more_rights_than_it_needs() -> None:
    made = objects(FULL)
    check(made)
    for kind in ("Deployment", "Job"):
        pod = made[kind]["spec"]["template"]["spec"]
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        (container,) = pod["containers"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert {"requests", "limits"} <= container["resources"].keys()
        written = {mount["mountPath"] for mount in container["volumeMounts"] if not mount.get("readOnly")}
        assert written <= {"/gallery", "/engines", "/dev/shm", "/tmp"}
    assert made["NetworkPolicy"]["spec"]["egress"] == []
    (probes,) = made["Deployment"]["spec"]["template"]["spec"]["containers"]
    assert all("exec" in probes[f"{which}Probe"] for which in ("startup", "readiness", "liveness"))
    (plain,) = objects({"secrets": {"insecure": True}})["Deployment"]["spec"]["template"]["spec"]["containers"]
    assert plain["readinessProbe"]["httpGet"] == {"path": "/v2/health/ready", "port": "grpc"}
    encrypted = objects({"secrets": {"tls": "tls", "tokens": "tokens"}})["Deployment"]["spec"]["template"]["spec"]
    (container,) = encrypted["containers"]
    # Kubelets compare no certificate with the address that they ask.
    assert container["livenessProbe"]["httpGet"] == {"path": "/v2/health/live", "port": "grpc", "scheme": "HTTPS"}


def test_a_part_of_a_job_knows_its_number() -> None:
    job = objects(FULL)["Job"]["spec"]
    assert (job["completionMode"], job["completions"]) == ("Indexed", 4)
    (container,) = job["template"]["spec"]["containers"]
    variables = {one["name"]: one["value"] for one in container["env"]}
    assert variables["FRAMESIFT_SHARDS"] == "4"
    script = container_files(reference_manifest())["index.sh"]
    # The controller of jobs sets the other one.
    assert '--shard "$JOB_COMPLETION_INDEX/${FRAMESIFT_SHARDS:-1}"' in script
    other = objects(with_(FULL, "indexing.shards", 5))["Job"]["metadata"]["name"]
    assert other != objects(FULL)["Job"]["metadata"]["name"]


def test_a_new_model_s_gallery_is_filled_beside_the_one_that_is_searched() -> None:
    made = objects(with_(with_(FULL, "image.tag", "old"), "indexing.tag", "new"))

    def of(kind: str) -> tuple[str, str]:
        (container,) = made[kind]["spec"]["template"]["spec"]["containers"]
        galleries = [one["value"] for one in container["env"] if one["name"] == "FRAMESIFT_GALLERY"]
        return container["image"].rpartition(":")[2], galleries[0]

    assert of("Deployment") == ("old", "/gallery/old")
    assert of("Job") == ("new", "/gallery/new")


def test_a_gallery_is_made_again_of_another() -> None:
    alone = with_(with_(FULL, "indexing.shards", 1), "indexing.options", ["--addresses"])
    job = objects(with_(with_(alone, "indexing.tag", "new"), "indexing.migrate", "old"))["Job"]["spec"]
    (container,) = job["template"]["spec"]["containers"]
    variables = {one["name"]: one["value"] for one in container["env"]}
    assert (variables["FRAMESIFT_MIGRATE"], variables["FRAMESIFT_GALLERY"]) == ("/gallery/old", "/gallery/new")
    # Which videos there are is the old gallery's to say.
    assert container["args"] == ["--addresses"]
    assert "FRAMESIFT_MIGRATE" not in {one["name"] for one in _container(alone)["env"]}


def _container(values: dict[str, Any]) -> dict[str, Any]:
    (container,) = objects(values)["Job"]["spec"]["template"]["spec"]["containers"]
    return container


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({}, "nobody may call without TLS"),
        ({"secrets": {"tls": "tls"}}, "everybody who reaches the service could call"),
        ({"secrets": {"tokens": "tokens", "insecure": True}}, "need encrypted connections"),
        ({"secrets": {"tls": "tls", "clients": "ca"}}, "name a secret with one in secrets.probe"),
        ({"secrets": {"insecure": True}, "replicas": 2}, "gallery.accessMode has to be ReadWriteMany"),
        (
            {"secrets": {"tls": "tls", "tokens": "tokens"}, "podMonitor": {"enabled": True}},
            "in podMonitor.tokenSecret",
        ),
        ({"secrets": {"insecure": True}, "indexing": {"migrate": "old", "shards": 2}}, "indexing.shards has to be 1"),
        ({"secrets": {"insecure": True}, "replica": 2}, "'replica' not allowed"),
        ({"secrets": {"insecure": True}, "gallery": {"size": "big"}}, "/gallery/size"),
        ({"secrets": {"insecure": True}, "runAs": 0}, "/runAs"),
        ({"secrets": {"insecure": True}, "tracing": {"endpoint": "https://x"}}, "/tracing/endpoint"),
    ],
)
def test_values_that_can_not_be_right_are_refused(values: dict[str, Any], said: str) -> None:
    with pytest.raises(helm.HelmError, match=re.escape(said)):
        objects(values)


@pytest.mark.parametrize("version", VERSIONS)
def test_helm_finds_nothing_to_complain_of(version: str) -> None:
    found = helm.lint(CHART, FULL, strict=True, kube_version=version)
    assert found["errors"] == []
    assert {one["error"] for one in found["messages"]} <= {"icon is recommended"}


def test_a_misspelt_field_would_be_found() -> None:
    made = objects(FULL)
    made["Deployment"]["spec"]["template"]["spec"]["securityContex"] = {}
    with pytest.raises(kubernetes_validate.ValidationError, match="securityContex"):
        check(made)


def test_a_deployments_chart_has_the_version_of_framesift(tmp_path: Path) -> None:
    for path, text in chart_files("framesift/x", "0a1b2c3d4e5f").items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text, encoding="utf-8")
    about = yaml.safe_load((tmp_path / "Chart.yaml").read_text(encoding="utf-8"))
    assert about["version"] == about["appVersion"] == __version__
    # Helm takes semantic versions alone.
    assert helm.lint(tmp_path, FULL, strict=True, kube_version=VERSIONS[-1])["errors"] == []
    rendered = helm.Chart.load(tmp_path).render(FULL, name="search", namespace="films")
    assert any(f"helm.sh/chart: framesift-{__version__}\n" in text for text in rendered.values())
    # In the source there is no second one to forget.
    assert 'version: 0.0.0\nappVersion: "0.0.0"\n' in (CHART / "Chart.yaml").read_text(encoding="utf-8")


def test_a_deployment_has_the_chart_of_its_image() -> None:
    manifest = reference_manifest()
    files = container_files(manifest)
    values = yaml.safe_load(files["chart/values.yaml"])
    name = f"{values['image']['repository']}:{values['image']['tag']}"
    assert f"image={name}\n" in files["run.sh"]
    assert {f"chart/{path.relative_to(CHART)}" for path in CHART.rglob("*") if path.is_file()} <= files.keys()
    assert chart_files("x", "1e10")["values.yaml"].count('tag: "1e10"') == 1
