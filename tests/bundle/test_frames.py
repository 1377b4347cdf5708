"""What a profile may ask for."""

from __future__ import annotations

import numpy as np
import pytest

from framesift.export.bundle.errors import BundleError
from framesift.export.bundle.manifest import FrameProfile
from framesift.export.bundle.video.profile import check_profile, resize_crop
from framesift.export.bundle.video.resizing import RESIZES
from framesift.export.bundle.video.sampling import SAMPLERS


@pytest.mark.parametrize(
    ("profile", "fault"),
    [
        (FrameProfile(sampler="random"), f"sampler 'random' is unknown, known: {', '.join(sorted(SAMPLERS))}"),
        (FrameProfile(resize="none"), f"resize 'none' is unknown, known: {', '.join(sorted(RESIZES))}"),
        (FrameProfile(crop="none"), "crop 'none'"),
        (FrameProfile(missing="zeros"), "missing 'zeros' is unknown, known: mask, none, repeat"),
        (FrameProfile(count=0), "count 0"),
        (FrameProfile(size=0), "size 0"),
    ],
)
def test_unknown_profile_is_refused(profile: FrameProfile, fault: str) -> None:
    with pytest.raises(BundleError, match=fault):
        check_profile(profile)


def test_every_rule_is_accepted() -> None:
    for sampler in SAMPLERS:
        for resize in RESIZES:
            for missing in ("repeat", "mask"):
                check_profile(FrameProfile(sampler=sampler, resize=resize, missing=missing))


def test_profile_names_the_resize() -> None:
    image = np.random.default_rng(0).integers(0, 256, (40, 71, 3), dtype=np.uint8)
    results = [resize_crop(image, FrameProfile(size=16, resize=name)).astype(np.float32) for name in sorted(RESIZES)]
    assert all(result.shape == (3, 16, 16) for result in results)
    assert all(np.abs(a - b).max() > 5 for a, b in zip(results, results[1:] + results[:1], strict=True))
