"""X-Pool's own outputs: the reference model without temporal encoding and with K = F must give the same."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from framesift.export.build import load_model
from framesift.export.checkpoint import load
from framesift.kernels.topk_attention.reference import TopKAttention

COMMITTED = Path(__file__).parents[1] / "golden"
FOLDERS = [COMMITTED, *([Path(os.environ["FRAMESIFT_GOLDEN"])] if "FRAMESIFT_GOLDEN" in os.environ else [])]
CASES = [
    path
    for folder in FOLDERS
    for path in sorted(folder.rglob("*.safetensors"))
    if "xpool" in str(path.relative_to(folder)) and ("head_" in path.stem or "small_openai" in path.stem)
]
# The goldens are float64 results stored as float32.
STORED = 2e-6


def close(got: torch.Tensor, want: torch.Tensor) -> None:
    torch.testing.assert_close(got.float(), want, atol=STORED, rtol=STORED)


@pytest.mark.parametrize("path", CASES, ids=lambda p: p.stem)
def test_scores_and_intermediates(path: Path, tmp_path: Path) -> None:
    case = load_file(path)
    state = {key.removeprefix("sd."): value for key, value in case.items() if key.startswith("sd.")}
    sims = case["out.sims"]
    if "in.video" not in case:
        text, frames = case["in.text_embeds"], case["in.frame_embeds"]
        heads = 4 if "heads4" in path.stem else 1
        head = TopKAttention(text.shape[1], heads=heads, top_k=frames.shape[1])
        head.load_state_dict({k.removeprefix("pool_frames."): v for k, v in state.items()})
        head.double()
    else:
        save_file(state, tmp_path / "model.safetensors")
        video = case["in.video"]
        options = {"frames": video.shape[1], "top_k": video.shape[1], "heads": 1}
        model = load_model(load(tmp_path / "model.safetensors"), options).double()
        with torch.no_grad():
            text = model.encode_text(case["in.input_ids"])
            frames = model.clip.visual.embed(video.flatten(0, 1).double()).unflatten(0, video.shape[:2])
        close(text, case["out.text_embeds"])
        close(frames, case["out.frame_embeds"])
        close(model.encode_time(frames), case["out.frame_embeds"])
        head = model.pool_frames
    with torch.no_grad():
        pooled, _ = head.cross_attn(head.layer_norm1(text.double()), head.layer_norm1(frames.double()))
        scores, attention = head(text.double(), frames.double())
    close(pooled.transpose(0, 1), case["out.pool.cross_attn"])
    close(scores, sims)
    assert torch.equal(scores.argsort(1, descending=True), sims.argsort(1, descending=True))
    torch.testing.assert_close(attention.sum(-1), torch.ones_like(scores))
