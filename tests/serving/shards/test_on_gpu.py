"""What an actor asks Ray for, and what it refuses. Nothing here needs a GPU, and nothing here ran on one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from framesift.export.bundle.errors import BundleError, InvalidRequest, ServerStartError, ServerUnavailable
from framesift.export.bundle.manifest import Manifest
from framesift.export.bundle.storages import stored
from framesift.serving.indexing.ray_cluster import GPU, fits
from framesift.serving.repository.render import reference_manifest
from framesift.serving.shards.needs import Needs, check_gpus
from framesift.serving.shards.on_gpu import check_node, gpus_of

GIB = 1 << 30


@pytest.fixture
def attending() -> Manifest:
    return replace(reference_manifest(), options={"top_k": 4, "heads": 1})


def test_an_actor_takes_a_gpu_where_there_is_a_kernel_for_it(attending: Manifest) -> None:
    assert gpus_of(attending, None, cuda=True) == 1
    assert gpus_of(attending, 0.5, cuda=True) == gpus_of(attending, 0.5, cuda=False) == 0.5
    assert gpus_of(attending, None, cuda=False) == gpus_of(attending, 0.0, cuda=True) == 0
    assert gpus_of(attending, 2, cuda=False) == 2
    for refused in (1.5, 0.00001):
        with pytest.raises(InvalidRequest, match=f"--shard-gpus is {refused:g}: an actor takes a share of one GPU"):
            gpus_of(attending, refused, cuda=True)
    for other in (replace(attending, scorer="weighed_experts"), stored(attending, "float16", coarse=True)):
        assert gpus_of(other, None, cuda=True) == 0
        with pytest.raises(BundleError, match="leave --shard-gpus out"):
            gpus_of(other, 1.0, cuda=True)


def test_ray_is_told_what_an_actor_takes() -> None:
    options = Needs(gpus=0.5, replicas=2).options(GIB)
    assert (options["num_cpus"], options["num_gpus"], options["max_restarts"]) == (1, 0.5, -1)
    assert options["memory"] > 2 * GIB
    place = Needs(gpus=0.5, replicas=2).bundle(GIB)
    assert place == {"CPU": 1, "GPU": 0.5, "memory": options["memory"]}
    assert "GPU" not in Needs().bundle(GIB)


def test_a_node_whose_gpu_can_not_search_a_shard_is_refused(attending: Manifest) -> None:
    with pytest.raises(ServerStartError, match="nvidia-smi finds none on this node"):
        check_node(attending, 1000, 1, [])
    pytest.importorskip("triton")
    check_node(attending, 1_000_000, 1, [20 * GIB])
    with pytest.raises(ServerStartError, match="GPU 0 needs .* for 1,000,000 of them, and 10.7 GB are free") as refused:
        check_node(attending, 1_000_000, 1, [10 * GIB])
    assert "Split the gallery into more shards, --storage int8" in str(refused.value)
    # Where Ray gives it two, each has a half.
    check_node(attending, 1_000_000, 2, [10 * GIB, 10 * GIB])


def test_of_a_gpu_that_is_shared_an_actor_counts_its_share(attending: Manifest) -> None:
    pytest.importorskip("triton")
    check_node(attending, 1_000_000, 0.5, [40 * GIB], [40 * GIB])
    # The other one has taken its half.
    check_node(attending, 1_000_000, 0.5, [20 * GIB], [40 * GIB])
    # Nothing is taken yet, and a half is too little: two would pass, and one of them fail later.
    with pytest.raises(ServerStartError, match=r"don't fit on its share of a GPU, 0.5 of 21.5 GB: GPU 0 needs") as told:
        check_node(attending, 1_000_000, 0.5, [20 * GIB], [20 * GIB])
    assert "and 10.7 GB are free" in str(told.value)
    assert "give each a larger share" in str(told.value)
    # Others have more than the half that is not its own.
    with pytest.raises(ServerStartError, match="GPU 0 needs .* and 12.9 GB are free"):
        check_node(attending, 1_000_000, 0.5, [12 * GIB], [40 * GIB])


class _Cluster:
    """A cluster of so many GPUs, as Ray tells of it."""

    def __init__(self, gpus: int) -> None:
        self._gpus = gpus

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": 4.0, GPU: float(self._gpus)}


def test_shares_are_counted_by_whole_gpus() -> None:
    for gpus, each, room in ((2, 0.5, 4), (2, 0.6, 2), (3, 0.34, 6), (1, 0.1, 10), (3, 2, 1), (4, 2, 2), (0, 0.5, 0)):
        assert fits({GPU: gpus, "CPU": 100}, {GPU: each, "CPU": 1}) == room
        if room:
            check_gpus(_Cluster(gpus), Needs(gpus=each), room)
        with pytest.raises(ServerUnavailable, match=f"this machine has {gpus:g}, which are enough for {room}: give"):
            check_gpus(_Cluster(gpus), Needs(gpus=each), room + 1)
    assert fits({"CPU": 3}, {"CPU": 1, "memory": 5.0}) == 0
    check_gpus(_Cluster(0), Needs(), 100)
