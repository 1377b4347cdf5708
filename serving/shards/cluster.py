"""A gallery in shards on a Ray cluster, while a server runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ...export.bundle.errors import BundleError
from ...export.bundle.limits import MAX_PAGED
from ...export.bundle.manifest import Manifest
from ...export.bundle.ports import SCORER
from ...export.bundle.scorers import scorer_of, shortlist_size
from ...export.bundle.storages import is_coarse
from ...export.bundle.store import MANIFEST
from ..gallery.calibration import Calibration
from ..gallery.drift import drift_of, told_of
from ..gallery.schema import GallerySchema
from ..gallery.shards import open_shards
from .actors import Actors
from .directory import DEADLINE_S, DEADLINE_VARIABLE, SHARDS_VARIABLE
from .needs import Needs
from .on_gpu import gpus_of

_DIRECTORY = "shards.json"


@dataclass(frozen=True)
class Cluster:
    """Where and how shards are searched.

    Attributes:
        address: of the Ray cluster; ``local`` starts one on this machine.
        count: how many shards a gallery gets that is made; of one that is there None, or its number.
        deadline_s: for a shard's answer to a search.
        gpus: that a shard's actor takes of its node, or a share; None for one where encoders are on GPUs.
        replicas: actors of a shard.
    """

    address: str
    count: int | None = None
    deadline_s: float = DEADLINE_S
    gpus: float | None = None
    replicas: int = 1

    @contextmanager
    def shards(
        self,
        manifest: Manifest,
        scorer: bytes,
        gallery: Path,
        folder: Path,
        report: Callable[[str], object],
        *,
        cuda: bool = False,
    ) -> Iterator[dict[str, str]]:
        """The shards of a gallery, searched and kept while the block runs; gives the models' environment.

        Args:
            manifest: the deployment's.
            scorer: the graph of its scorer.
            folder: for the file that tells the models where shards answer.
            cuda: whether encoders are on GPUs.

        Raises:
            BundleError: GPUs for a model that processors search.
            GalleryMismatch: another model wrote them.
            FramesiftError: they can't be searched; the message says why.
        """
        schema = GallerySchema.of(manifest)
        needs = Needs(gpus=gpus_of(manifest, self.gpus, cuda=cuda), replicas=self.replicas)
        found = open_shards(gallery, schema, self.count)
        counts = [shard.count for shard in found]
        each = f", {needs.replicas} replicas of each" if needs.replicas > 1 else ""
        on = f", an actor on {needs.gpus:g} GPUs" if needs.gpus else ""
        report(f"gallery {gallery}: {sum(counts):,} videos in {len(counts)} shards{each}{on}")
        if is_coarse(manifest):
            for shard in found:
                calibration = Calibration.of(shard.root, manifest.fingerprint, shard.version)
                for line in told_of(calibration, drift_of(shard, calibration)):
                    report(f"coarse stage of {shard.root.name}: {line}")
        sizes = {shard.root: shard.reader().rows * schema.row_bytes for shard in found}
        files = {MANIFEST: manifest.to_json().encode(), f"{SCORER}.onnx": scorer}
        directory = folder / _DIRECTORY
        with Actors(self.address, sizes, files, directory, report, needs):
            yield {SHARDS_VARIABLE: str(directory), DEADLINE_VARIABLE: f"{self.deadline_s:g}"}


def check_fits(manifest: Manifest, *, chosen: bool) -> None:
    """Refuse what shards don't do.

    Raises:
        BundleError: a model with a very long short list, or one whose candidates another chooses.
    """
    if chosen:
        raise BundleError(
            "a gallery in shards can't have its candidates chosen by another model: serve it on one machine"
        )
    if scorer_of(manifest).search == "shortlist" and (shortlist_size(manifest) or 0) > MAX_PAGED:
        raise BundleError(
            f"{manifest.system} scores a short list of {shortlist_size(manifest)} videos, over shards it can have "
            f"{MAX_PAGED}: serve it on one machine, or export it with a shorter one"
        )
