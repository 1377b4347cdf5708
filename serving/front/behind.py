"""A deployment that a door is in front of: where its Triton server and its files are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Behind:
    """One of a door's deployments.

    Attributes:
        name: by which clients choose it.
        deployment: folder with the bundle's manifest and vocabulary.
        triton: Triton server's socket for HTTP.
        triton_metrics: its socket for metrics.
        state: folder in which its keeper and watchdog say what runs.
        gallery: the folder of its gallery, as those who index are told it; None where the environment names it.
    """

    name: str
    deployment: Path
    triton: Path
    triton_metrics: Path
    state: Path
    gallery: Path | None = None

    @staticmethod
    def read(values: Mapping[str, Any]) -> Behind:
        """From its JSON."""
        gallery = values["gallery"]
        return Behind(
            values["name"],
            Path(values["deployment"]),
            Path(values["triton"]),
            Path(values["triton_metrics"]),
            Path(values["state"]),
            None if gallery is None else Path(gallery),
        )
