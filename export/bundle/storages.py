"""How a served gallery is kept in memory. A deployment's manifest says which of these it is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ...kernels.topk_attention.biases import Biases
from .errors import BundleError
from .manifest import Manifest
from .scorers import SCORERS, scorer_of
from .storage_names import STORAGES, Storage

# Options of a manifest: of a deployment's the storage, and whether a coarse stage goes before the exact one; of a
# bundle's what int8 has to know of its weights.
STORAGE, COARSE, BIASES = "storage", "coarse", "biases"


def stored(manifest: Manifest, storage: Storage, *, coarse: bool = False) -> Manifest:
    """The manifest of a deployment whose gallery is kept so, with averages of frames beside it where it is ``coarse``.

    Raises:
        BundleError: this model's gallery can't be.
    """
    chosen = {**({} if storage == "float16" else {STORAGE: storage}), **({COARSE: True} if coarse else {})}
    if not chosen:
        return manifest
    made = replace(manifest, options={**manifest.options, **chosen})
    storage_of(made)
    is_coarse(made)
    return made


def is_coarse(manifest: Manifest) -> bool:
    """Whether a deployment's gallery is searched with a coarse stage before the exact one.

    Raises:
        BundleError: this model's gallery can't be.
    """
    if not manifest.options.get(COARSE):
        return False
    if not scorer_of(manifest).coarse:
        able = ", ".join(card.name for card in SCORERS.values() if card.coarse)
        raise BundleError(
            f"a coarse stage scores averages of frames, and {manifest.scorer} can't: {able} can. Serve this bundle "
            "without --coarse"
        )
    if (manifest.frame_count or 1) < 2:
        raise BundleError("a coarse stage scores averages of frames, and this model has one: serve without --coarse")
    return True


def storage_of(manifest: Manifest) -> Storage:
    """How a deployment's gallery is kept.

    Raises:
        BundleError: a storage that is not known, or that this model's gallery can't have.
    """
    storage: Any = manifest.options.get(STORAGE, "float16")
    if storage not in STORAGES:
        raise BundleError(f"the manifest's storage is {storage!a:.60}, it must be {' or '.join(STORAGES)}")
    if storage == "int8":
        if scorer_of(manifest).search != "topk_attention":
            raise BundleError(
                f"int8 storage serves attention over frames, not {manifest.scorer}: serve it with float16"
            )
        if manifest.options.get("heads") != 1:
            raise BundleError("int8 storage serves an attention of one head: serve this bundle with float16")
        biases_of(manifest)
    found: Storage = storage
    return found


def biases_of(manifest: Manifest) -> Biases:
    """What the bundle's weights leave for the proofs of int8 storage.

    Raises:
        BundleError: the manifest does not say it, or says what can't be.
    """
    values = manifest.options.get(BIASES)
    try:
        if not isinstance(values, list | tuple) or len(values) != 4:
            raise ValueError("it names no four numbers")
        return Biases(*values)
    except ValueError as error:
        raise BundleError(
            f"the manifest does not tell the biases that int8 storage needs ({error}): export the model again, or "
            "serve it with float16"
        ) from error
