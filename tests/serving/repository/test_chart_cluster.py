"""The chart of a gallery in shards: the Ray cluster by KubeRay and without, who may reach it, and what fits."""

from __future__ import annotations

import re
from typing import Any

import helm_python as helm
import jsonschema
import kubernetes_validate
import pytest

from framesift.serving.repository.container import container_files
from framesift.serving.repository.render import reference_manifest
from framesift.serving.server.kept import _STOP_S

from .charts import CHART, VERSIONS, check, objects, pods, sharded, with_

KINDS = ("statefulset", "kuberay")
FILES = container_files(reference_manifest())


def variables(pod: dict[str, Any]) -> dict[str, str]:
    (container,) = pod["containers"]
    return {one["name"]: one["value"] for one in container["env"]}


def started(made: dict[str, dict[str, Any]], role: str) -> dict[str, str]:
    """The options with which a node of the Ray cluster is started."""
    if "RayCluster ray" in made:
        spec = made["RayCluster ray"]["spec"]
        group = spec["headGroupSpec"] if role == "head" else spec["workerGroupSpecs"][0]
        return dict(group["rayStartParams"])
    (container,) = pods(made)[role]["containers"]
    assert container["command"] == ["ray", "start", "--block"]
    given = [option.removeprefix("--").partition("=") for option in container["args"]]
    return {name: value for name, _, value in given if name not in ("head", "address")}


@pytest.mark.parametrize("kind", KINDS)
def test_kubernetes_takes_it_and_helm_has_nothing_to_complain_of(kind: str) -> None:
    made = objects(sharded(kind))
    check(made)
    assert ("RayCluster ray" in made) is (kind == "kuberay")
    assert ("StatefulSet ray-worker" in made) is (kind == "statefulset")
    for version in VERSIONS:
        assert helm.lint(CHART, sharded(kind), strict=True, kube_version=version)["errors"] == []


@pytest.mark.parametrize("kind", KINDS)
def test_pods_of_the_cluster_have_no_more_rights_than_servers(kind: str) -> None:
    found = pods(objects(sharded(kind)))
    assert found.keys() == {"Deployment", "Job", "head", "worker"}
    for pod in found.values():
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        for container in [*pod["containers"], *pod.get("initContainers", ())]:
            assert container["securityContext"]["readOnlyRootFilesystem"] is True
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
            # A limit of memory, and of what lies in memory or on the node's disk.
            assert "memory" in container["resources"]["limits"]
            assert container["image"].endswith("-ray")
        bounded = [volume["emptyDir"] for volume in pod["volumes"] if "emptyDir" in volume]
        assert all("sizeLimit" in volume for volume in bounded if volume)
    mounts = {one["mountPath"] for one in found["head"]["containers"][0]["volumeMounts"]}
    assert mounts == {"/dev/shm", "/tmp", "/ray-token"}


@pytest.mark.parametrize("kind", KINDS)
def test_only_the_release_s_pods_reach_the_cluster_and_they_show_its_token(kind: str) -> None:
    made = objects(sharded(kind))
    own = {
        "podSelector": {"matchLabels": {"app.kubernetes.io/name": "framesift", "app.kubernetes.io/instance": "search"}}
    }
    policy = made["NetworkPolicy ray"]["spec"]
    assert policy["ingress"] == [{"from": [own]}]
    assert policy["egress"][0] == {"to": [own]}
    assert {port["port"] for rule in policy["egress"][1:] for port in rule["ports"]} == {53}
    assert [rule["ports"] for rule in made["NetworkPolicy"]["spec"]["ingress"]] == [[{"port": "grpc"}]]
    for pod in pods(made).values():
        told = variables(pod)
        assert (told["RAY_AUTH_MODE"], told["RAY_AUTH_TOKEN_PATH"]) == ("token", "/ray-token/token")
        (secret,) = (volume["secret"] for volume in pod["volumes"] if volume["name"] == "ray-token")
        assert secret["secretName"] == "ray"
    service = made["Service ray"]
    assert {variables(pods(made)[name])["FRAMESIFT_CLUSTER"] for name in ("Deployment", "Job")} == {
        f"{service['metadata']['name']}:6379"
    }
    labels = (
        made["RayCluster ray"]["spec"]["headGroupSpec"]["template"]
        if kind == "kuberay"
        else made["StatefulSet ray-head"]["spec"]["template"]
    )["metadata"]["labels"]
    assert service["spec"]["selector"].items() <= labels.items()


@pytest.mark.parametrize("kind", KINDS)
def test_what_ray_sets_aside_fits_into_its_pods(kind: str) -> None:
    made = objects(sharded(kind))
    options, (container,) = started(made, "worker"), pods(made)["worker"]["containers"]
    limit = int(container["resources"]["limits"]["memory"].removesuffix("Mi")) << 20
    shared = next(one["emptyDir"] for one in pods(made)["worker"]["volumes"] if one["name"] == "memory")
    assert int(options["memory"]) + int(options["object-store-memory"]) < limit
    assert int(options["object-store-memory"]) < int(shared["sizeLimit"].removesuffix("Mi")) << 20
    assert options["num-cpus"] == container["resources"]["requests"]["cpu"] == "4"
    # Nothing is placed on the head.
    assert started(made, "head")["num-cpus"] == "0"


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_nodes_are_started_with_options_that_ray_has(kind: str) -> None:
    scripts = pytest.importorskip("ray.scripts.scripts")
    import ray

    known = {option.removeprefix("--") for one in scripts.start.params for option in one.opts}
    made = objects(sharded(kind))
    assert {name for role in ("head", "worker") for name in started(made, role)} <= known
    pinned = re.search(r"^ray==(\S+) ", FILES["requirements-ray.txt"], re.MULTILINE)
    assert pinned is not None
    assert pinned[1] == ray.__version__
    if kind == "kuberay":
        assert made["RayCluster ray"]["spec"]["rayVersion"] == ray.__version__


def test_kuberay_makes_another_cluster_of_other_pods() -> None:
    def named(**changed: Any) -> str:
        values = sharded("kuberay")
        for path, value in changed.items():
            values = with_(values, path.replace("__", "."), value)
        return str(objects(values)["RayCluster ray"]["metadata"]["name"])

    assert named() == named(cluster__workers=9) != named(image__tag="0a1b2c3d4e5f")


def test_jobs_fill_a_shard_each_or_split_a_gallery() -> None:
    values = sharded("statefulset")
    job = objects(values)["Job"]["spec"]
    told = variables(job["template"]["spec"])
    assert job["completions"] == 3
    assert (told["FRAMESIFT_SHARDS"], told["FRAMESIFT_SHARDED"]) == ("3", "1")
    server = variables(pods(objects(values))["Deployment"])
    assert told["FRAMESIFT_GALLERY"] == server["FRAMESIFT_GALLERY"] == "/gallery/latest-3-shards"
    assert server["FRAMESIFT_CLUSTER_SHARDS"] == "3"
    script = FILES["index.sh"]
    assert 'if [ -n "${FRAMESIFT_SHARDED:-}" ]; then how+=(--sharded); fi' in script
    split = objects(with_(with_(values, "indexing.split", "films"), "indexing.rayActors", 0))["Job"]["spec"]
    assert split["completions"] == 1
    assert variables(split["template"]["spec"])["FRAMESIFT_SPLIT"] == "/gallery/films"
    assert split["template"]["spec"]["containers"][0]["args"] == []


def test_a_server_more_is_started_first_where_there_is_room_for_its_shards() -> None:
    values = with_(sharded("statefulset"), "autoscaling.enabled", False)
    small = with_(with_(values, "cluster.workers", 2), "indexing.enabled", False)
    enough = objects(with_(small, "cluster.processors", 3))["Deployment"]["spec"]["strategy"]["rollingUpdate"]
    full = objects(with_(small, "cluster.processors", 2))["Deployment"]["spec"]["strategy"]["rollingUpdate"]
    assert enough == {"maxSurge": 1, "maxUnavailable": 0}
    assert full == {"maxSurge": 0, "maxUnavailable": 1}


def test_a_pod_has_time_to_answer_what_it_let_in() -> None:
    for values, beside in ((sharded("statefulset"), 30), ({"secrets": {"insecure": True}}, 0)):
        pod = pods(objects(values))["Deployment"]
        waits = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
        assert pod["terminationGracePeriodSeconds"] >= waits + _STOP_S + beside


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (
            {"gallery.accessMode": "ReadWriteOnce", "autoscaling.enabled": False},
            "gallery.accessMode has to be ReadWriteMany",
        ),
        ({"cluster.tokenSecret": ""}, "whoever reaches the Ray cluster could run anything there"),
        ({"cluster.workers": 2}, "3 actors of shards of each of 4 servers and 3 actors that index take one each"),
        ({"cluster.shardReplicas": 3}, "and 9 actors of shards of each of 4 servers"),
        ({"cluster.shardGpus": 1}, "too few GPUs for cluster.shardGpus"),
        (
            {"cluster.shardGpus": 0.6, "cluster.gpus": 1, "cluster.workers": 8, "cluster.processors": 4},
            "12 where 1 fit on each of cluster.workers",
        ),
        ({"cluster.shardGpus": 2, "cluster.gpus": 3, "cluster.workers": 8}, "12 where 1 fit on each"),
        ({"cluster.shardGpus": 1.5, "cluster.gpus": 9}, "/cluster/shardGpus"),
        ({"cluster.memory": 2048}, "cluster.memory has no room"),
        ({"indexing.migrate": "old", "indexing.rayActors": 0}, "a job makes whole galleries again"),
        ({"cluster.kind": "none"}, "set cluster.kind"),
        ({"cluster.kind": "operator"}, "/cluster/kind"),
    ],
    ids=lambda part: "" if isinstance(part, str) else next(iter(part)),
)
def test_what_does_not_fit_together_is_refused(changed: dict[str, Any], said: str) -> None:
    values = sharded("statefulset")
    for path, value in changed.items():
        values = with_(values, path, value)
    with pytest.raises(helm.HelmError, match=re.escape(said)):
        objects(values)


def test_a_misspelt_field_of_a_ray_cluster_would_be_found() -> None:
    for path in (["spec"], ["spec", "headGroupSpec"], ["spec", "headGroupSpec", "template", "spec"]):
        made = objects(sharded("kuberay"))
        part = made["RayCluster ray"]
        for name in path:
            part = part[name]
        part["replicsa"] = 1
        with pytest.raises((jsonschema.ValidationError, kubernetes_validate.ValidationError), match="replicsa"):
            check(made)
