"""Fine-tuning: symmetric InfoNCE with a learned temperature, Adam, warm-up and a cosine schedule."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..bundle.errors import CheckpointError, InvalidInput
from ..bundle.text.tokenizers import Tokenizer
from ..corpus.cache import DecodedCorpus
from ..systems.dong2026 import Dong2026
from .batches import epoch_batches
from .evaluate import encode_frames

MAX_TEMPERATURE = math.log(100)


@dataclass(frozen=True)
class Recipe:
    """How to train. ``clip_lr`` is the towers' learning rate and ``lr`` that of everything added to them."""

    epochs: int = 5
    batch_size: int = 32
    lr: float = 1e-5
    clip_lr: float = 1e-6
    warmup: float = 0.1
    weight_decay: float = 0.2
    clip_norm: float = 1.0
    seed: int = 0
    freeze_vision: bool = False


@dataclass(frozen=True)
class Progress:
    """Where the training stands after a step."""

    step: int
    steps: int
    epoch: int
    loss: float


def contrastive_loss(scores: Tensor, temperature: Tensor) -> Tensor:
    """Symmetric InfoNCE over a square matrix of scores whose diagonal holds the true pairs; a scalar."""
    logits = scores * temperature.clamp(max=MAX_TEMPERATURE).exp()
    target = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


def learning_rate(step: int, steps: int, warmup: float) -> float:
    """The share of the peak rate at ``step``: linear warm-up, then half a cosine down to zero."""
    rising = max(1, round(warmup * steps))
    if step < rising:
        return (step + 1) / rising
    return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, steps - rising)))


def optimizer_for(model: Dong2026, recipe: Recipe) -> torch.optim.Optimizer:
    """AdamW with one rate for the towers and another for the rest; no weight decay on vectors and scalars."""
    groups = []
    for towers, rate in ((True, recipe.clip_lr), (False, recipe.lr)):
        for matrices in (True, False):
            chosen = [
                p
                for name, p in model.named_parameters()
                if p.requires_grad and name.startswith("clip.") == towers and (p.ndim > 1) == matrices
            ]
            decay = recipe.weight_decay if matrices else 0.0
            groups.append({"params": chosen, "lr": rate, "peak": rate, "weight_decay": decay})
    return torch.optim.AdamW(groups, betas=(0.9, 0.98))


def finetune(
    model: Dong2026,
    tokenizer: Tokenizer,
    corpus: DecodedCorpus,
    recipe: Recipe,
    *,
    state: Path | None = None,
    origin: str = "",
    raw: Tensor | None = None,
    after_step: Callable[[Progress], None] = lambda _: None,
    after_epoch: Callable[[int], None] = lambda _: None,
) -> None:
    """Train ``model`` in place; the same arguments give the same weights, interrupted or not.

    Args:
        raw: the corpus' raw frame embeddings [N, F, D] if a frozen vision tower has made them already.
        origin: what the model started from; a later call goes on only if it started from the same.
        state: where to keep what a later call needs to go on after the last finished epoch; removed at the end.
        after_step, after_epoch: called with the progress, and with the number of epochs finished.

    Raises:
        InvalidInput: the corpus has fewer distinct captions than a batch needs.
        CheckpointError: ``state`` belongs to a run with another recipe or corpus.
    """
    per_epoch = [
        sum(1 for _ in epoch_batches(corpus.clips, recipe.batch_size, recipe.seed, e)) for e in range(recipe.epochs)
    ]
    if not all(per_epoch):
        raise InvalidInput(
            f"a batch of {recipe.batch_size} needs that many clips with different captions: "
            "add clips or lower --batch-size"
        )
    model.clip.visual.requires_grad_(not recipe.freeze_vision)
    optimizer = optimizer_for(model, recipe)
    identity = _identity(model, corpus, recipe, origin)
    first = _resume(state, model, optimizer, identity)
    if raw is None and recipe.freeze_vision:
        raw = encode_frames(model, corpus.frames)
    records = _Records(model, corpus, raw)
    step, steps = sum(per_epoch[:first]), sum(per_epoch)
    model.train()
    for epoch in range(first, recipe.epochs):
        # Dropout must not depend on where an earlier run was interrupted.
        torch.manual_seed((recipe.seed << 16) + epoch)
        for batch in epoch_batches(corpus.clips, recipe.batch_size, recipe.seed, epoch):
            for group in optimizer.param_groups:
                group["lr"] = group["peak"] * learning_rate(step, steps, recipe.warmup)
            token_ids = torch.from_numpy(tokenizer.encode(batch.captions))
            loss = train_step(model, optimizer, records(batch.rows), token_ids, recipe.clip_norm)
            step += 1
            after_step(Progress(step, steps, epoch, loss))
        if state is not None:
            _keep(state, model, optimizer, identity, epoch + 1)
        after_epoch(epoch + 1)
    model.eval()
    if state is not None:
        state.unlink(missing_ok=True)


class _Records:
    """Encodes a batch's clips; with a frozen vision tower every frame is encoded once and for all."""

    def __init__(self, model: Dong2026, corpus: DecodedCorpus, raw: Tensor | None) -> None:
        self.model, self.corpus, self.raw = model, corpus, raw

    def __call__(self, rows: tuple[int, ...]) -> Tensor:
        if self.raw is None:
            pixels = torch.from_numpy(np.stack([self.corpus.frames[row] for row in rows]))
            return self.model.encode_time(self.model.clip.encode_frames(pixels.to(self.model.clip.logit_scale.device)))
        return self.model.encode_time(self.raw[list(rows)])


def train_step(
    model: Dong2026, optimizer: torch.optim.Optimizer, records: Tensor, token_ids: Tensor, clip_norm: float
) -> float:
    """One step on records [B, F, D] and their captions' token ids [B, W]; returns the loss before it."""
    authors = model.published
    scores = authors.score(authors.encode_text(token_ids.to(records.device)), (records,))
    loss = contrastive_loss(scores, model.clip.logit_scale)
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), clip_norm)
    optimizer.step()
    return loss.item()


def _identity(model: Dong2026, corpus: DecodedCorpus, recipe: Recipe, origin: str) -> dict[str, object]:
    """What two runs must have in common for one to go on where the other stopped."""
    digest = hashlib.sha256()
    for clip in corpus.clips:
        digest.update(repr((clip.video.name, clip.captions, clip.group)).encode())
    dropout = model.pool_frames.dropout.p
    start = {"start": origin, "corpus": digest.hexdigest(), "dropout": dropout, "clip": asdict(model.config.clip)}
    return {**asdict(recipe), **model.config.options(), **start}


def _keep(
    path: Path, model: Dong2026, optimizer: torch.optim.Optimizer, identity: dict[str, object], epoch: int
) -> None:
    scratch = path.with_name(path.name + ".part")
    values = {
        "identity": identity,
        "epoch": epoch,
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
    }
    torch.save(values, scratch)
    scratch.replace(path)


def _resume(path: Path | None, model: Dong2026, optimizer: torch.optim.Optimizer, identity: dict[str, object]) -> int:
    if path is None or not path.is_file():
        return 0
    values = torch.load(path, map_location="cpu", weights_only=True)
    if values["identity"] != identity:
        changed = [k for k in identity if values["identity"].get(k) != identity[k]]
        raise CheckpointError(
            f"{path} is from a run with another {', '.join(changed)}: "
            "use the same options to go on, or delete it to start anew"
        )
    model.load_state_dict(values["model"])
    optimizer.load_state_dict(values["optimizer"])
    return int(values["epoch"])
