"""What encoding needs of a bundle: its manifest, the video encoder's graph, and a vocabulary where tags are read."""

from __future__ import annotations

from pathlib import Path

from ...export.bundle.errors import BundleError
from ...export.bundle.features.rules import TAGS
from ...export.bundle.manifest import Manifest
from ...export.bundle.manifest_checks import check_manifest
from ...export.bundle.ports import VIDEO_ENCODER
from ...export.bundle.store import MANIFEST, read_manifest, sha256


def open_files(folder: Path) -> Manifest:
    """The manifest in a folder whose files are compared with their hashes; a whole bundle's others are not looked at.

    Raises:
        BundleError: no manifest there, one that is refused, or a file that is missing or changed.
    """
    manifest = check_manifest(read_manifest(folder))
    for name in _names(manifest):
        if name not in manifest.files or not (folder / name).is_file():
            raise BundleError(f"{folder} has no {name}: give a bundle that `framesift export` wrote")
        if sha256(folder / name) != manifest.files[name]:
            raise BundleError(f"{folder / name} has changed since it was exported: export it again")
    return manifest


def reads_films(manifest: Manifest) -> bool:
    """Whether a video of the model comes as a film."""
    return manifest.frames is not None or manifest.film is not None


def contents(folder: Path, manifest: Manifest) -> dict[str, bytes]:
    """The files' contents by name, the manifest's among them, for machines that don't see the folder."""
    return {name: (folder / name).read_bytes() for name in (MANIFEST, *_names(manifest))}


def _names(manifest: Manifest) -> tuple[str, ...]:
    reads_tags = manifest.features is not None and manifest.features.rule == TAGS
    return (f"{VIDEO_ENCODER}.onnx", *(manifest.tokenizer.files if reads_tags else ()))
