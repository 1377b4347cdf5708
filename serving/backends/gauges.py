"""What a model tells of its state, as metrics of the server."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..gallery.calibration import Calibration

GALLERY_VIDEOS = "framesift_gallery_videos"
GALLERY_VERSION = "framesift_gallery_version"
GALLERY_RESCORED = "framesift_gallery_rescored"
COARSE_RECALL = "framesift_coarse_recall"
COARSE_TEXTS = "framesift_coarse_texts"
COARSE_VIDEOS = "framesift_coarse_videos"
SHARDS_MISSING = "framesift_shards_missing"
REPLICAS_MISSING = "framesift_replicas_missing"
_DESCRIPTIONS = {
    GALLERY_VIDEOS: "Videos of the gallery that searches read",
    GALLERY_VERSION: "Version of the gallery that searches read",
    GALLERY_RESCORED: "Videos that the latest search scored exactly, where others are left out",
    COARSE_RECALL: "Share of the best videos that the coarse stage led to when it was calibrated",
    COARSE_TEXTS: "Texts by which the coarse stage was calibrated",
    COARSE_VIDEOS: "Videos that the gallery had when its coarse stage was calibrated",
    REPLICAS_MISSING: "Replicas of the gallery's shards that are not there",
    SHARDS_MISSING: "Shards of the gallery that did not answer the latest search",
}


def coarse_gauges(found: Calibration) -> dict[str, float]:
    """What a calibration measured."""
    return {COARSE_RECALL: found.recall, COARSE_TEXTS: found.texts, COARSE_VIDEOS: found.videos}


class Gauges:
    """Reports numbers that go up and down.

    Args:
        server: the module ``triton_python_backend_utils``.
        name: the model's name, the metrics' label.
        read: the numbers by the metrics' names, always of the same ones.
    """

    def __init__(self, server: Any, name: str, read: Callable[[], Mapping[str, float]]) -> None:
        self._read = read
        # A metric lives as long as its family's object does.
        self._families = {
            metric: server.MetricFamily(name=metric, description=_DESCRIPTIONS[metric], kind=server.MetricFamily.GAUGE)
            for metric in read()
        }
        self._metrics = {metric: family.Metric(labels={"model": name}) for metric, family in self._families.items()}
        self.report()

    def report(self) -> None:
        """Tell the server how they stand."""
        for metric, value in self._read().items():
            self._metrics[metric].set(value)
