"""What a model takes, as its server describes it: a client asks once, and sends what fits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from tritonclient.utils import triton_to_np_dtype

from ...export.bundle.checks import check_id, listed
from ...export.bundle.errors import InvalidRequest, ServerError
from ...export.bundle.ports import FRAMES, MASK, NOISE
from ...export.bundle.spec import TensorSpec

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
        ServerError: the model takes no frames.
    """
    if FRAMES not in takes:
        raise ServerError(f"the server's model takes {', '.join(takes)}, not {FRAMES}: it is none of framesift's")
    frames = _array(frames, "frames")
    dtype = takes[FRAMES].dtype
    if frames.dtype not in (np.dtype(dtype), np.dtype(np.uint8)):
        raise InvalidRequest(f"the frames are {frames.dtype}, the model takes {dtype}")
    check_shape(takes[FRAMES], frames)
    found = {FRAMES: frames.astype(dtype, copy=False)}
    if MASK in takes:
        every = np.ones(frames.shape[:2])
        found[MASK] = _mask(takes[MASK], every if mask is None else _array(mask, "mask"), len(frames))
    elif mask is not None:
        raise InvalidRequest("the model takes no mask: every one of its frames counts")
    if NOISE in takes:
        found[NOISE] = _noise(takes[NOISE].shape[1:], ids, len(frames))
    return found


def check_shape(spec: TensorSpec, array: npt.NDArray[Any]) -> None:
    """Check an array's shape against what a model takes.

    Raises:
        InvalidRequest: it doesn't fit.
    """
    if not spec.takes_shape(array.shape):
        raise InvalidRequest(spec.shape_fault(array, "the model takes"))


def _array(values: npt.ArrayLike, what: str) -> npt.NDArray[Any]:
    try:
        return np.asarray(values)
    # Whatever an object's own way into numpy raises.
    except Exception as error:
        raise InvalidRequest(f"the {what} can't be read as one array: {error}") from error


def _mask(spec: TensorSpec, mask: npt.NDArray[Any], clips: int) -> npt.NDArray[np.float32]:
    check_shape(spec, mask)
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
    if isinstance(ids, str) or len(ids := listed(ids, "ids")) != clips:
        raise InvalidRequest(f"there are {clips} clips and {'one text' if isinstance(ids, str) else len(ids)} for ids")
    if not clips:
        return np.empty((0, *shape), np.float32)
    # Most models draw none.
    from ...export.bundle.video.noise import selector_noise

    return np.stack([selector_noise(check_id(id_), shape) for id_ in ids])
