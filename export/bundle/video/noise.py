"""Noise that belongs to a video, for systems whose authors draw it afresh at every call."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray


def selector_noise(video_id: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Standard normal noise that depends on the video's id and the shape alone.

    TS2-Net's authors never encode a video the same way twice. Here a video has one draw, on every machine: SHA-256 of
    the id keys a Philox counter, whose raw bits become normal by Box and Muller's transform.

    Args:
        video_id: any text.
        shape: of the result; [F, samples, patches] for TS2-Net.
    """
    digest = hashlib.sha256(video_id.encode("utf-8", "surrogatepass")).digest()
    count = int(np.prod(shape, dtype=np.int64))
    half = (count + 1) // 2
    bits = np.random.Philox(key=np.frombuffer(digest[:16], "<u8")).random_raw(2 * half)
    # 53 bits each, in (0, 1], so that the logarithm is finite.
    uniform = ((bits >> np.uint64(11)).astype(np.float64) + 1) / 2.0**53
    radius, angle = np.sqrt(-2 * np.log(uniform[:half])), 2 * np.pi * uniform[half:]
    normal = np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])[:count]
    noise: NDArray[np.float32] = normal.reshape(shape).astype(np.float32)
    return noise
