"""The compiled scans of ``pairs`` on a device: the same call, with records that are there."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from .device.pair_scan import DeviceScan
from .device.resident import ResidentRows, Room, endless, gpu
from .dot.device import DotScan
from .frame_softmax.device import FrameSoftmaxScan
from .library import best_library
from .multi_grained.device import MultiGrainedScan
from .multi_grained.reference import Matrices, TextRecord
from .pairs import Name, PairsScan
from .token_frame.device import TokenFrameScan
from .walk import Floats, Live, Rows

Tensors = Mapping[str, Tensor]


def on_device(scan: PairsScan, records: Tensors) -> DeviceScan | None:
    """A scan with its records on a device.

    Args:
        scan: what is asked, with its texts and weights.
        records: float16, the scan's own by name.

    Returns:
        None where the scorer has no kernel: one of experts.

    Raises:
        ValueError: as ``DeviceScan``.
    """
    if "present" in records:
        return None
    device = next(iter(records.values())).device
    text = {name: torch.from_numpy(array).to(device) for name, array in scan.text.items()}
    return _MADE[scan.name](scan, text, records)


def _dot(scan: PairsScan, text: Tensors, records: Tensors) -> DeviceScan:
    return DotScan(text["text"][:, 0], records["frame_vectors"][:, 0])


def _frame_softmax(scan: PairsScan, text: Tensors, records: Tensors) -> DeviceScan:
    return FrameSoftmaxScan(text["text"][:, 0], records["frame_vectors"], records["mask"])


def _token_frame(scan: PairsScan, text: Tensors, records: Tensors) -> DeviceScan:
    return TokenFrameScan(text["text"], records["frame_vectors"], scan.sharpness)


def _multi_grained(scan: PairsScan, text: Tensors, records: Tensors) -> DeviceScan:
    frames = records["frame_vectors"]
    assert scan.matrices is not None
    packed, matrices = torch.from_numpy(scan.matrices).to(frames.device), []
    sizes = {"word": text["text"].shape[1], "frame": frames.shape[1]}
    for name in Matrices._fields:
        size = sizes[name.partition("_")[0]]
        matrices.append(packed[: size * size].reshape(size, size))
        packed = packed[size * size :]
    asked = TextRecord(text["sentence"], text["sentence_whole"], text["words_whole"], text["text"])
    return MultiGrainedScan(asked, records["whole"], frames, Matrices(*matrices), scan.scale)


_MADE: Mapping[Name, Callable[[PairsScan, Tensors, Tensors], DeviceScan]] = {
    "dot": _dot,
    "frame_softmax": _frame_softmax,
    "token_frame": _token_frame,
    "multi_grained": _multi_grained,
}


class ResidentPairs:
    """Records of a gallery on a device, as they were when ``follow`` was last called, and searches of them.

    On a processor the compiled scan searches, as ``topk_attention.api`` does.
    """

    def __init__(self, device: torch.device, room: Room = endless) -> None:
        """``room`` tells how many bytes of the device are free."""
        self._kept = ResidentRows(device, room)

    def __len__(self) -> int:
        """Rows on the device."""
        return len(self._kept)

    def follow(self, scan: PairsScan, *, anew: bool) -> None:
        """As ``ResidentRows.follow``, of a scan's records."""
        self._kept.follow(scan.records, scan.videos, anew=anew)

    def search(self, scan: PairsScan, n: int, live: Live | None) -> tuple[Floats, Rows]:
        """Scores float32 and rows int64, [Q, n], of the best videos, all or the ``live`` ones, of what was sent.

        Raises:
            ValueError: as ``DeviceScan``, or the scorer has no kernel.
        """
        records = self._kept.tensors()
        if self._kept.device.type == "cpu":
            arrays = {name: kept.numpy() for name, kept in records.items()}
            library = best_library()
            assert library is not None, "the scan is a compiled one"
            return scan.of(arrays).search(library, n, live=live)
        found = on_device(scan, records)
        if found is None:
            raise ValueError(f"{scan.name} with experts has no kernel")
        alive = None if live is None else torch.from_numpy(live).to(self._kept.device)
        scores, rows = (part.cpu().numpy() for part in found.search(n, live=alive))
        return scores, rows


def pairs_on_gpu(number: int) -> ResidentPairs | None:
    """Records on the GPU ``number``; None where this torch can't use a GPU."""
    found = gpu(number)
    return None if found is None else ResidentPairs(*found)
