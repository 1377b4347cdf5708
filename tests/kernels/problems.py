"""Random problems of the Triton kernels, and what they mean in float64."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from framesift.kernels.topk_attention.layout import LANES
from framesift.kernels.topk_attention.reference import topk_softmax

ROUNDED = {torch.float32: torch.float32, torch.bfloat16: torch.bfloat16}
# float32 accumulation over 512 columns, then a score of about 1
TOLERANCE = 2e-5
# two halves of bfloat16 keep 17 bits of a text vector
TOLERANCE_BFLOAT16 = 2e-4


@dataclass
class Problem:
    """Random arguments of ``launch.score``, and what they mean in float64."""

    u: Tensor
    w: Tensor
    tau: Tensor
    frames: Tensor
    scales: Tensor | None
    mean: Tensor | None
    forms: Tensor
    vectors: Tensor
    top_k: int
    heads: int

    @property
    def table(self) -> Tensor:
        """[ceil(V / 16), R, 16]; lanes beyond V are zero."""
        videos, n = len(self.frames), self.vectors.shape[-1]
        i, j = torch.triu_indices(n, n)
        entries = self.forms[..., i, j] * torch.where(i == j, 1, 2)
        parts = [entries.permute(1, 2, 0).reshape(videos, -1), self.vectors.permute(1, 2, 0).reshape(videos, -1)]
        if self.scales is not None:
            parts.append(self.scales.reshape(videos, -1))
        rows = torch.cat(parts, 1)
        padded = torch.zeros(-(-videos // LANES) * LANES, rows.shape[1])
        padded[:videos] = rows
        return padded.reshape(-1, LANES, rows.shape[1]).transpose(1, 2).contiguous()

    def arguments(self) -> dict[str, Any]:
        names = ("u", "w", "tau", "frames", "table", "mean", "top_k", "heads")
        return {name: getattr(self, name) for name in names}

    def reference(self) -> tuple[Tensor, Tensor]:
        """Scores [Q, V] in float64 and how far apart the K-th and the next logit are, [Q, V]."""
        x = self.frames.double()
        if self.scales is not None and self.mean is not None:
            sizes = self.scales.double().transpose(2, 3)[..., None]
            x = (x.unflatten(-1, (self.heads, -1)) * sizes).flatten(-2) + self.mean.double()[:, None, None]
        x = x.unflatten(-1, (self.heads, -1))
        u, w = (t.double().unflatten(-1, (self.heads, -1)) for t in (self.u, self.w))
        logits = torch.einsum("qhd,vfhd->qvhf", u, x[:, 0])
        readouts = torch.einsum("qhd,vfhd->qvhf", w, x[:, -1])
        a = topk_softmax(logits, self.top_k)
        total, a = (a * readouts).sum((2, 3)), a.flatten(2)
        A, B, E = torch.einsum("qvi,mvij,qvj->mqv", a, self.forms.double(), a)
        c2, c3, c4 = torch.einsum("qvi,mvi->mqv", a, self.vectors.double())
        tau0, tau1, tau2, tau3 = self.tau.double().T[..., None]
        sigma = A.sqrt()
        r = (B + sigma * c2).sqrt()
        score = (total + tau0 + sigma * tau1 + r * tau2) / (E + sigma * c3 + r * (c4 + tau3 * sigma)).sqrt()
        ordered = logits.sort(dim=-1, descending=True).values
        k = self.top_k
        gap = (ordered[..., k - 1] - ordered[..., k]).amin(-1) if k < x.shape[2] else torch.full_like(score, torch.inf)
        return score, gap


def problem(
    q: int, v: int, f: int, d: int, h: int, k: int, storage: torch.dtype = torch.float16, exact: bool = False
) -> Problem:
    """Fresh random data. ``exact``: small integers over 8 and repeated frames, so that equal logits are equal bits."""
    s, n = 1 if h == 1 else 2, h * f
    scales = mean = None
    if exact:
        u, w = (torch.randint(-2, 3, (q, d)) / 8 for _ in range(2))
        frames = torch.randint(-1, 2, (v, s, f, d)) / 8
        frames[:, :, f // 2 :] = frames[:, :, : f - f // 2]
    else:
        u, w = torch.randn(q, d) * (3 / d**0.5), torch.randn(q, d) / d**0.5
        frames = torch.randn(v, s, f, d)
    if storage == torch.int8:
        frames = (frames * 30).round().clamp(-127, 127)
    if storage in (torch.int8, torch.float8_e4m3fn):
        scales = torch.rand(v, s, h, f) * 0.02 + 0.02 if storage == torch.int8 else torch.rand(v, s, h, f) + 0.5
        mean = torch.randn(v, d).half()
    # gram matrices of vectors with a common part, as frames of a video have
    m = torch.randn(3, v, n, 16, dtype=torch.float64) * 0.3 + torch.randn(3, v, 1, 16, dtype=torch.float64)
    return Problem(
        u=u,
        w=w,
        # a large negative 2 kappa would make the squared norm negative, which no checkpoint can
        tau=torch.randn(q, 4) * torch.tensor([0.2, 0.2, 0.2, 0.03]),
        frames=frames.to(storage),
        scales=scales,
        mean=mean,
        forms=(m @ m.mT / 16).float(),
        vectors=torch.rand(3, v, n) * 0.1,
        top_k=k,
        heads=h,
    )


def as_read(p: Problem) -> Problem:
    """With more than 8 queries the kernel reads text vectors rounded to the products' 16 bits."""
    if len(p.u) <= 8:
        return p
    dtype = ROUNDED.get(p.frames.dtype, torch.float16)
    return replace(p, u=p.u.to(dtype).float(), w=p.w.to(dtype).float())


def name(shape: tuple[Any, ...]) -> str:
    return "Q{}-V{}-F{}-D{}-H{}-K{}-{}".format(*shape[:6], str(shape[6]).removeprefix("torch."))
