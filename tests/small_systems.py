"""Every published system's example, exported once for all tests."""

from __future__ import annotations

import tempfile
from pathlib import Path

from framesift.export.build import build_bundle
from framesift.export.bundle.store import Bundle
from framesift.export.systems.examples import examples, given_options, write_checkpoint
from framesift.export.systems.registry import AUTO

from .exporting import built_once, read_library_once

read_library_once()


def small_bundle(name: str, bundles: Path) -> Bundle:
    """The example of that name, exported as its authors' file is: with the options that its weights don't show."""
    card, _ = examples()[name]
    options = {option: value for option, value in given_options(name).items() if option not in card.implied}

    def build(out: Path) -> Bundle:
        with tempfile.TemporaryDirectory() as folder:
            checkpoint, merges = write_checkpoint(name, Path(folder))
            # Where the weights are another system's too, it has to be named.
            named = card.implied or any(sign.given for sign in card.signs)
            system = card.name if named else AUTO
            return build_bundle(checkpoint, out, options=options, system=system, merges=merges)

    return built_once(bundles / name.replace(" ", "-"), build)
