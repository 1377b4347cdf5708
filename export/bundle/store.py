"""Reading and writing a bundle's folder."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from .errors import BundleError
from .manifest import Manifest
from .text.tokenizers import Tokenizer, load_tokenizer

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Bundle:
    """A bundle on disk whose files match the hashes in its manifest."""

    root: Path
    manifest: Manifest

    @staticmethod
    def open(root: str | os.PathLike[str]) -> Bundle:
        """Open a bundle and verify every file.

        Raises:
            BundleError: no bundle there, or files that are missing or changed; all of them are listed.
        """
        folder = Path(root)
        manifest = read_manifest(folder)
        faults = []
        for name, digest in manifest.files.items():
            file = folder / name
            if not file.is_file():
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
        return Manifest.from_json(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise BundleError(f"{path} can't be read: {error}") from error


@contextmanager
def staged(out: str | os.PathLike[str], *, overwrite: bool = False, marker: str = MANIFEST) -> Iterator[Path]:
    """A scratch folder that becomes ``out`` when the block ends well, and vanishes when it doesn't.

    Args:
        marker: the file by which a folder shows that it may be replaced.

    Raises:
        BundleError: ``out`` exists and is not a bundle, or is one and ``overwrite`` is false.
    """
    target = Path(out).absolute()
    if target.exists() and not (overwrite and (target / marker).is_file()):
        hint = "pass --overwrite to replace it" if (target / marker).is_file() else f"and has no {marker}"
        raise BundleError(f"{out} exists already: {hint}")
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        yield scratch
        scratch.chmod(0o755)
        if target.exists():
            shutil.rmtree(target)
        scratch.rename(target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


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
