"""Whether a file that can't be decoded is encrypted, where its container says so only in passing."""

from __future__ import annotations

from typing import BinaryIO

import numpy as np

# Asked only once decoding has failed; MP4 and Matroska say it of every track, see ``structure``.
_LOOKED_AT = 1 << 20
_SYNC, _SCRAMBLED = 0x47, 0xC0
# Bytes from one transport packet to the next: bare, with a time in front, with error correction behind.
_STRIDES = (188, 192, 204)
_ASF = bytes.fromhex("3026b2758e66cf11")
# Content encryption and extended content encryption.
_ASF_ENCRYPTION = (bytes.fromhex("fbb3112223bdd211b4b700a0c955fc6e"), bytes.fromhex("14e68a292226174cb935dae07ee9289c"))


def is_encrypted(source: BinaryIO) -> bool:
    """Whether a transport stream is scrambled, or an ASF or WMV file protected."""
    source.seek(0)
    head = source.read(_LOOKED_AT)
    if head.startswith(_ASF):
        return any(mark in head for mark in _ASF_ENCRYPTION)
    data = np.frombuffer(head, np.uint8)
    for stride in _STRIDES:
        for start in np.flatnonzero(data[:stride] == _SYNC):
            packets = data[start : start + (len(data) - start) // stride * stride].reshape(-1, stride)
            if len(packets) >= 3 and np.all(packets[:, 0] == _SYNC):
                return bool(np.mean(packets[:, 3] & _SCRAMBLED != 0) > 0.5)
    return False
