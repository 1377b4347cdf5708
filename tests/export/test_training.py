"""Fine-tuning: batches, resuming, and that it learns."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from framesift.export.bundle.errors import CheckpointError, InvalidInput
from framesift.export.bundle.manifest import TokenizerProfile
from framesift.export.bundle.text.merges_file import write_merges
from framesift.export.bundle.text.tokenizers import Tokenizer, load_tokenizer
from framesift.export.corpus.cache import DecodedCorpus
from framesift.export.corpus.manifest import Clip
from framesift.export.encoders.clip import ClipConfig
from framesift.export.systems.dong2026 import Dong2026, Dong2026Config
from framesift.export.training.batches import epoch_batches
from framesift.export.training.evaluate import evaluate
from framesift.export.training.loop import Recipe, contrastive_loss, finetune, learning_rate

TOWERS = ClipConfig(
    embed_dim=32,
    image_size=16,
    patch=8,
    vision_width=64,
    vision_layers=1,
    text_width=64,
    text_layers=1,
    vocab_size=514,
    context_length=16,
)
COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255), "white": (255, 255, 255)}


def clips(count: int, groups: int = 0) -> list[Clip]:
    return [Clip(Path(f"{i}.mp4"), (f"clip {i}",), f"g{i % groups}" if groups else None) for i in range(count)]


def corpus() -> DecodedCorpus:
    """Sixteen clips of two colours one after the other, the caption naming both in order."""
    names = [(a, b) for a in COLOURS for b in COLOURS]
    frames = np.zeros((16, 4, 3, 16, 16), np.uint8)
    for row, (first, second) in enumerate(names):
        frames[row, :2] = np.array(COLOURS[first], np.uint8)[:, None, None]
        frames[row, 2:] = np.array(COLOURS[second], np.uint8)[:, None, None]
    made = [Clip(Path(f"{a}-{b}.mp4"), (f"{a} {b}",), "+".join(sorted((a, b)))) for a, b in names]
    return DecodedCorpus(made, frames, [])


@pytest.fixture
def tokenizer(tmp_path: Path) -> Tokenizer:
    write_merges(tmp_path / "merges.txt", [])
    return load_tokenizer(TokenizerProfile(files=("merges.txt",), context_length=16, buckets=(16,)), tmp_path)


def model(seed: int = 0) -> Dong2026:
    torch.manual_seed(seed)
    config = Dong2026Config(frames=4, top_k=2, temporal="transformer", temporal_layers=1, clip=TOWERS)
    return Dong2026(config, dropout=0.1)


RECIPE = Recipe(epochs=3, batch_size=8, lr=1e-3, clip_lr=1e-3, weight_decay=0.0)


def test_batches_hold_every_clip_once_and_hard_negatives_together() -> None:
    made = clips(64, groups=16)
    batches = list(epoch_batches(made, 16, seed=1, epoch=0))
    assert sorted(row for batch in batches for row in batch.rows) == list(range(64))
    for batch in batches:
        assert set(Counter(made[row].group for row in batch.rows).values()) == {4}
    assert batches == list(epoch_batches(made, 16, seed=1, epoch=0))
    assert batches != list(epoch_batches(made, 16, seed=1, epoch=1))


def test_no_batch_holds_a_caption_twice() -> None:
    made = [replace(clip, captions=(f"text {i % 10}",)) for i, clip in enumerate(clips(60))]
    batches = list(epoch_batches(made, 8, seed=0, epoch=0))
    assert batches
    rows = [row for batch in batches for row in batch.rows]
    assert len(rows) == len(set(rows))
    assert all(len(set(batch.captions)) == 8 for batch in batches)


def test_the_loss_is_symmetric_infonce() -> None:
    scores = torch.randn(5, 5, dtype=torch.float64)
    temperature = torch.tensor(2.0, dtype=torch.float64)
    logits = scores * temperature.exp()
    rows = -(logits.diag() - logits.logsumexp(1)).mean()
    columns = -(logits.diag() - logits.logsumexp(0)).mean()
    torch.testing.assert_close(contrastive_loss(scores, temperature), (rows + columns) / 2)


def test_the_schedule_rises_then_falls_to_zero() -> None:
    rates = [learning_rate(step, 100, 0.1) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == rates[9] == 1.0
    assert all(a > b for a, b in itertools.pairwise(rates[10:]))
    assert 0 < rates[-1] < 1e-3


@pytest.mark.parametrize("frozen", [False, True])
def test_an_interrupted_run_ends_with_the_same_weights(frozen: bool, tokenizer: Tokenizer, tmp_path: Path) -> None:
    recipe, data = replace(RECIPE, freeze_vision=frozen), corpus()
    whole = model()
    finetune(whole, tokenizer, data, recipe)

    class Killed(Exception):
        pass

    def kill(epoch: int) -> None:
        if epoch == 2:
            raise Killed

    state = tmp_path / "run.state"
    with pytest.raises(Killed):
        finetune(model(), tokenizer, data, recipe, state=state, after_epoch=kill)
    resumed, steps = model(seed=5), []
    # Frozen towers are not in the optimizer, but they are in the state that is resumed.
    finetune(resumed, tokenizer, data, recipe, state=state, after_step=lambda p: steps.append(p.step))
    assert steps == [5, 6]
    assert not state.exists()
    for name, value in whole.state_dict().items():
        torch.testing.assert_close(resumed.state_dict()[name], value, atol=0, rtol=0, msg=name)


def test_a_state_of_another_recipe_is_refused(tokenizer: Tokenizer, tmp_path: Path) -> None:
    state = tmp_path / "run.state"

    def stop(epoch: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        finetune(model(), tokenizer, corpus(), RECIPE, state=state, after_epoch=stop)
    with pytest.raises(CheckpointError, match="another lr"):
        finetune(model(), tokenizer, corpus(), replace(RECIPE, lr=5e-4), state=state)


@pytest.mark.parametrize("change", ["captions", "top_k", "start"])
def test_a_state_of_another_run_is_refused(change: str, tokenizer: Tokenizer, tmp_path: Path) -> None:
    state = tmp_path / "run.state"

    def stop(epoch: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        finetune(model(), tokenizer, corpus(), RECIPE, state=state, after_epoch=stop)
    other, data, origin = model(), corpus(), ""
    if change == "captions":
        data = replace(data, clips=[replace(c, captions=(c.captions[0] + " x",)) for c in data.clips])
    elif change == "top_k":
        torch.manual_seed(0)
        other = Dong2026(replace(other.config, top_k=3), dropout=0.1)
    else:
        origin = "another.pt"
    with pytest.raises(CheckpointError, match="from a run with another"):
        finetune(other, tokenizer, data, RECIPE, state=state, origin=origin)


def test_a_corpus_smaller_than_a_batch_is_refused(tokenizer: Tokenizer) -> None:
    with pytest.raises(InvalidInput, match="--batch-size"):
        finetune(model(), tokenizer, corpus(), replace(RECIPE, batch_size=17))


def test_it_learns(tokenizer: Tokenizer) -> None:
    data, trained = corpus(), model()
    captions = [clip.captions[0] for clip in data.clips]
    before = evaluate(trained.eval(), tokenizer, data.frames, captions)
    # Long enough that what a processor rounds otherwise doesn't decide.
    finetune(trained, tokenizer, data, replace(RECIPE, epochs=40, lr=2e-3, clip_lr=2e-3))
    after = evaluate(trained, tokenizer, data.frames, captions)
    assert after.r1 > before.r1 + 25
    assert after.mnr < before.mnr / 2
