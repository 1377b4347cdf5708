"""How a deployment keeps its gallery in memory, and where its models run."""

from __future__ import annotations

from dataclasses import dataclass

from ...export.bundle.manifest import Manifest
from ...export.bundle.storage_names import Storage
from ...export.bundle.storages import stored


@dataclass(frozen=True)
class Placement:
    """What whoever deploys a bundle chooses.

    Attributes:
        storage: how the gallery is kept in memory.
        coarse: whether searches have a coarse stage, as the gallery's calibration allows.
        cuda: for servers of this machine: encoders run on every GPU, and the search, where there is a kernel for it, on
            all together.
    """

    storage: Storage = "float16"
    coarse: bool = False
    cuda: bool = False

    def told(self, manifest: Manifest) -> Manifest:
        """The manifest of a bundle's deployment.

        Raises:
            BundleError: this model's gallery can't have the storage, or a coarse stage.
        """
        return stored(manifest, self.storage, coarse=self.coarse)


# Nothing chosen.
USUAL = Placement()
