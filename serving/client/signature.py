"""What a model takes, as its server tells it: a client learns it once, and sends what fits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from tritonclient.utils import triton_to_np_dtype

from ...export.bundle.checks import check_id
from ...export.bundle.errors import InvalidRequest
from ...export.bundle.ports import FRAMES, MASK, NOISE
from ...export.bundle.spec import TensorSpec
from ...export.bundle.video.noise import selector_noise

Signature = Mapping[str, TensorSpec]
"""The inputs of a model by name, in order."""


def signature(metadata: Any) -> Signature:
    """Read a server's metadata of a model."""
    return {
        port.name: TensorSpec(port.name, np.dtype(triton_to_np_dtype(port.datatype)).name, tuple(port.shape))
        for port in metadata.inputs
    }


def clip_inputs(
    takes: Signature, frames: npt.ArrayLike, mask: npt.ArrayLike | None, ids: Sequence[str] | None
) -> dict[str, npt.NDArray[Any]]:
    """The inputs of a video encoder that ``takes`` these, for the arguments of ``Client.encode_frames``.

    Raises:
        InvalidRequest: an array of another dtype or shape than the model's, a mask of a model that has none or that
            is no mask, or no ids where the model needs them.
    """
    frames = np.asarray(frames)
    dtype = takes[FRAMES].dtype
    if frames.dtype not in (np.dtype(dtype), np.dtype(np.uint8)):
        raise InvalidRequest(f"the frames are {frames.dtype}, the model takes {dtype}")
    _check_shape(takes[FRAMES], frames)
    found = {FRAMES: frames.astype(dtype, copy=False)}
    if MASK in takes:
        found[MASK] = _mask(takes[MASK], np.ones(frames.shape[:2]) if mask is None else np.asarray(mask), len(frames))
    elif mask is not None:
        raise InvalidRequest("the model takes no mask: every one of its frames counts")
    if NOISE in takes:
        found[NOISE] = _noise(takes[NOISE].shape[1:], ids, len(frames))
    return found


def _check_shape(spec: TensorSpec, array: npt.NDArray[Any]) -> None:
    if not spec.takes_shape(array.shape):
        raise InvalidRequest(spec.shape_fault(array, "the model takes"))


def _mask(spec: TensorSpec, mask: npt.NDArray[Any], clips: int) -> npt.NDArray[np.float32]:
    _check_shape(spec, mask)
    if len(mask) != clips:
        raise InvalidRequest(f"there are {clips} clips and a mask for {len(mask)}")
    if mask.dtype.kind not in "buif" or not np.isin(mask, (0, 1)).all():
        raise InvalidRequest("the mask must be 1 for a frame of the video and 0 for padding")
    if not mask.any(axis=1).all():
        raise InvalidRequest("the mask leaves a clip without any frame")
    return mask.astype(np.float32)


def _noise(shape: tuple[int, ...], ids: Sequence[str] | None, clips: int) -> npt.NDArray[np.float32]:
    if ids is None:
        raise InvalidRequest("the model draws noise by a video's id: give ids, one a clip")
    if isinstance(ids, str) or len(ids) != clips:
        raise InvalidRequest(f"there are {clips} clips and {'one text' if isinstance(ids, str) else len(ids)} for ids")
    if not clips:
        return np.empty((0, *shape), np.float32)
    return np.stack([selector_noise(check_id(id_), shape) for id_ in ids])
