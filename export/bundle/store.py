"""Reading and writing a bundle's folder."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from .errors import BundleError
from .manifest import Manifest
from .manifest_checks import check_manifest
from .scratch import scratch_folder
from .text.tokenizers import Tokenizer, load_tokenizer

MANIFEST = "manifest.json"
_LARGEST_MANIFEST = 4 << 20


@dataclass(frozen=True)
class Bundle:
    """A bundle on disk whose files match the hashes in its manifest."""

    root: Path
    manifest: Manifest

    @staticmethod
    def open(root: str | os.PathLike[str]) -> Bundle:
        """Open a bundle and verify every file.

        Raises:
            BundleError: no bundle there, a manifest that is refused, or files that are missing, changed or links; all
                of them are listed.
        """
        folder = Path(root)
        if (folder / MANIFEST).is_symlink():
            raise BundleError(f"{folder / MANIFEST} is a link: a bundle's files lie in its folder, copy them there")
        manifest = check_manifest(read_manifest(folder))
        faults = []
        for name, digest in manifest.files.items():
            file = folder / name
            if file.is_symlink():
                faults.append(f"{name} is a link, it must be a file")
            elif not file.is_file():
                faults.append(f"{name} is missing")
            elif sha256(file) != digest:
                faults.append(f"{name} has changed since it was exported")
        if faults:
            raise BundleError(f"{folder} is damaged: {'; '.join(faults)}. Export it again")
        return Bundle(folder, manifest)

    def file(self, name: str) -> Path:
        """The path of a file that the manifest lists."""
        if name not in self.manifest.files:
            raise BundleError(f"{self.root} has no file {name}; it has {', '.join(sorted(self.manifest.files))}")
        return self.root / name

    def graph(self, name: str) -> Path:
        """The path of one ONNX graph."""
        return self.file(f"{name}.onnx")

    def tokenizer(self) -> Tokenizer:
        """The tokenizer that the manifest names, with the bundle's vocabulary.

        Raises:
            BundleError: a kind that is not known, or a vocabulary that can't be read.
        """
        return load_tokenizer(self.manifest.tokenizer, self.root)


def read_manifest(folder: Path) -> Manifest:
    """The manifest in a folder, of which no other file is looked at.

    Raises:
        BundleError: there is none, or it can't be read.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise BundleError(f"{folder} is not a bundle: it has no {MANIFEST} (make one with `framesift export`)")
    try:
        if (size := path.stat().st_size) > _LARGEST_MANIFEST:
            raise BundleError(f"{path} has {size} bytes, a manifest has at most {_LARGEST_MANIFEST}")
        return Manifest.from_json(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, OSError) as error:
        raise BundleError(f"{path} can't be read: {error}") from error


@contextmanager
def staged(out: str | os.PathLike[str], *, overwrite: bool = False, marker: str = MANIFEST) -> Iterator[Path]:
    """A scratch folder that becomes ``out`` when the block ends well, and vanishes when it doesn't.

    What a killed process left of another one for the same ``out`` is removed.

    Args:
        marker: the file by which a folder shows that it may be replaced.

    Raises:
        BundleError: ``out`` exists and is not a bundle, or is one and ``overwrite`` is false.
    """
    target = check_target(out, overwrite=overwrite, marker=marker)
    target.parent.mkdir(parents=True, exist_ok=True)
    with scratch_folder(target.parent, f".{target.name}.framesift-") as scratch:
        yield scratch
        scratch.chmod(0o755)
        if target.exists():
            shutil.rmtree(target)
        scratch.rename(target)


def check_target(out: str | os.PathLike[str], *, overwrite: bool = False, marker: str = MANIFEST) -> Path:
    """The absolute path of ``out``, where a folder may be made; see ``staged``.

    Raises:
        BundleError: it is taken.
    """
    target = Path(out).absolute()
    if target.exists() and not (overwrite and (target / marker).is_file()):
        hint = "pass --overwrite to replace it" if (target / marker).is_file() else f"and has no {marker}"
        raise BundleError(f"{out} exists already: {hint}")
    return target


def seal(folder: Path, manifest: Manifest) -> Manifest:
    """Hash every file of ``folder`` into the manifest and write it there."""
    files = {p.name: sha256(p) for p in sorted(folder.iterdir()) if p.is_file() and p.name != MANIFEST}
    sealed = replace(manifest, files=files)
    (folder / MANIFEST).write_text(sealed.to_json(), encoding="utf-8")
    return sealed


def sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
