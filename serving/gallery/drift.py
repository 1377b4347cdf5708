"""How far a gallery has moved from what its coarse stage was calibrated with."""

from __future__ import annotations

from dataclasses import dataclass

from .calibration import Calibration
from .failures import gallery_failures
from .numbering import first_number
from .schema import SEQUENCE
from .store import Gallery

# From this share of other videos on a calibration says little of the gallery.
_MUCH = 0.5


@dataclass(frozen=True)
class Drift:
    """Of ``count`` records so many are ``new`` since a calibration, and so many ``gone``; a replaced one is both."""

    new: int
    gone: int
    count: int

    @property
    def much(self) -> bool:
        """Whether the gallery has become another one."""
        return max(self.new, self.gone) > _MUCH * max(self.count, 1)


def drift_of(gallery: Gallery, calibration: Calibration) -> Drift:
    """What has become of ``gallery`` since then.

    Raises:
        GalleryError: it can't be read.
    """
    with gallery_failures(f"counting what is new in {gallery.root}"):
        table = gallery.reader().table
        new = int(table.count_rows(f"{SEQUENCE} >= {first_number(calibration.version, 0)}"))
        count = int(table.count_rows())
    return Drift(new, max(0, calibration.videos - (count - new)), count)


def told_of(calibration: Calibration, drift: Drift) -> list[str]:
    """Lines for a person about what the coarse stage does, and how old that is."""
    lines = [
        f"recall@{calibration.top} {calibration.recall:g} of {calibration.texts:,} texts ({calibration.origin}), "
        f"{calibration.wished:g} wished",
        f"{calibration.frames} averages a video, {calibration.candidates_of(drift.count):,} candidates, "
        f"{calibration.speed:g} times as fast as exact",
        f"calibrated {calibration.made} with {calibration.videos:,} records; {drift.new:,} are new since, "
        f"{drift.gone:,} are gone",
    ]
    return [*lines, "the gallery has become another one: calibrate it again"] if drift.much else lines
