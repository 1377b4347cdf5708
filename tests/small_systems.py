"""Every published system's example, exported once for all tests."""

from __future__ import annotations

import tempfile
from pathlib import Path

from framesift.export.build import build_bundle
from framesift.export.bundle.store import Bundle
from framesift.export.systems.examples import asked_as, examples, given_options, small_system, write_checkpoint

from .exporting import built_once, read_library_once

read_library_once()


def small_bundle(name: str, bundles: Path) -> Bundle:
    """The example of that name, exported as its authors' file is: with the options that its weights don't show."""
    card, _ = examples()[name]
    options = {option: value for option, value in given_options(name).items() if option not in card.implied}

    def build(out: Path) -> Bundle:
        with tempfile.TemporaryDirectory() as folder:
            checkpoint, merges = write_checkpoint(name, Path(folder))
            system = asked_as(name, small_system(name).state_dict())
            return build_bundle(checkpoint, out, options=options, system=system, merges=merges)

    return built_once(bundles / name.replace(" ", "-"), build)
