"""The stages of a version by themselves, in a process of its own."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from .versions import Measure, Version


def stages(
    versions: Sequence[Version], options: Sequence[str], seconds: float, report: Callable[[str], None]
) -> Measure:
    """Have every version export the bundle that it runs; what is returned measures one of them.

    Raises:
        FramesiftError: an export failed, or an engine is refused; as what is returned does.
    """

    def run(version: Version, *more: str) -> None:
        version.run("bench", "stages", "--work", str(version.place / "work"), *options, *more)

    for version in versions:
        report(f"{version.name}: exporting the model, checking every engine")
        run(version, "--seconds", "0")

    def measure(version: Version) -> dict[str, list[float]]:
        samples = version.place / "samples.json"
        run(version, "--seconds", str(seconds), "--samples", str(samples))
        found: dict[str, list[float]] = json.loads(samples.read_text(encoding="utf-8"))
        return found

    return measure
