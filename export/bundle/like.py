"""Which models can be searched by a video, alone or beside a text, and why the others can't."""

from __future__ import annotations

from .manifest import Manifest
from .ports import LIKE_ENCODER
from .scorers import scorer_of

# Begins the names of the tensors that are made of a video which is searched with, and of a text beside it.
PREFIX = "like_"
# Systems of which every checkpoint, or every one of a kind, can be searched by a video.
SYSTEMS = (
    *("dong2026", "xpool", "xclip", "ts2net", "dgl", "stan", "mugstan", "table", "rvtr", "clip4clip", "all_in_one"),
    *("frozen", "mac", "clover", "howto100m", "mmt"),
)
_BESIDE_TEXT = ("dot", "frame_softmax", "topk_attention")


def video_fault(manifest: Manifest) -> str:
    """Why the model can't be searched by a video, and what to do; empty where it can.

    Raises:
        BundleError: a scorer that is not known.
    """
    if scorer_of(manifest).like is None:
        return (
            f"{manifest.system} with the scorer {manifest.scorer} reads every text and video together, so nothing of a "
            f"video can stand where a text does: search by a text, or serve a model of {', '.join(SYSTEMS)} (but "
            "CLIP4Clip's tightTransf and All-in-one's irtr), which can be searched by a video"
        )
    if LIKE_ENCODER not in manifest.graphs:
        return (
            f"the bundle has no {LIKE_ENCODER}, so it can't be searched by a video: export the model again. It gets "
            "none where a video has more frames than a text has positions to hold them"
        )
    return ""


def text_fault(manifest: Manifest) -> str:
    """Why the model can't be searched by a video beside a text, and what to do; empty where it can.

    Raises:
        BundleError: a scorer that is not known.
    """
    if (fault := video_fault(manifest)) or scorer_of(manifest).like == "beside":
        return fault
    return (
        f"{manifest.system} with the scorer {manifest.scorer} compares a text's parts one by one, and those of a video "
        "are others, so there is no mean of both: search by the text or by the video. Models with the scorers "
        f"{', '.join(_BESIDE_TEXT)} take both at once"
    )
