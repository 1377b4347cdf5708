"""A gallery in shards on a Ray cluster, while a server runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from ...export.bundle.errors import BundleError
from ...export.bundle.limits import MAX_PAGED
from ...export.bundle.manifest import Manifest
from ...export.bundle.ports import SCORER
from ...export.bundle.scorers import scorer_of, shortlist_size
from ...export.bundle.store import MANIFEST, Bundle
from ..gallery.schema import GallerySchema
from ..gallery.shards import open_shards
from .actors import Actors, Needs
from .directory import DEADLINE_S, DEADLINE_VARIABLE, SHARDS_VARIABLE

_DIRECTORY = "shards.json"


@dataclass(frozen=True)
class Cluster:
    """Where and how shards are searched.

    Attributes:
        address: of the Ray cluster; ``local`` starts one on this machine.
        count: how many shards a gallery gets that is made; of one that is there None, or its number.
        deadline_s: for a shard's answer to a search.
        needs: what an actor takes of its node.
    """

    address: str
    count: int | None = None
    deadline_s: float = DEADLINE_S
    needs: Needs = field(default_factory=Needs)

    @contextmanager
    def shards(
        self, bundle: Bundle, gallery: Path, kept: Manifest, folder: Path, report: Callable[[str], object]
    ) -> Iterator[dict[str, str]]:
        """The shards of a gallery, searched and kept while the block runs; gives the models' environment.

        Args:
            kept: the deployment's manifest.
            folder: for the file that tells the models where shards answer.

        Raises:
            GalleryMismatch: another model wrote them.
            FramesiftError: they can't be searched; the message says why.
        """
        schema = GallerySchema.of(bundle.manifest)
        found = open_shards(gallery, schema, self.count)
        counts = [shard.count for shard in found]
        report(f"gallery {gallery}: {sum(counts):,} videos in {len(counts)} shards")
        sizes = {shard.root: count * schema.row_bytes for shard, count in zip(found, counts, strict=True)}
        files = {
            MANIFEST: kept.to_json().encode(),
            f"{SCORER}.onnx": bundle.graph(SCORER).read_bytes(),
        }
        directory = folder / _DIRECTORY
        with Actors(self.address, sizes, files, directory, report, self.needs):
            yield {SHARDS_VARIABLE: str(directory), DEADLINE_VARIABLE: f"{self.deadline_s:g}"}


def check_fits(manifest: Manifest, *, chosen: bool, coarse: bool, cuda: bool) -> None:
    """Refuse what shards don't do.

    Raises:
        BundleError: a model with a very long short list, or one whose candidates another chooses; a coarse stage, or
            encoders on GPUs beside shards.
    """
    if chosen:
        raise BundleError(
            "a gallery in shards can't have its candidates chosen by another model: serve it on one machine"
        )
    if coarse or cuda:
        raise BundleError(f"{'a coarse stage' if coarse else '--device cuda'} is for a gallery that is not in shards")
    if scorer_of(manifest).search == "shortlist" and (shortlist_size(manifest) or 0) > MAX_PAGED:
        raise BundleError(
            f"{manifest.system} scores a short list of {shortlist_size(manifest)} videos, over shards it can have "
            f"{MAX_PAGED}: serve it on one machine, or export it with a shorter one"
        )
