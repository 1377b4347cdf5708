"""The baseline in Hugging Face transformers has the same text tower and the same vocabulary as the checkpoint."""

from __future__ import annotations

import pytest
import torch

from framesift.export.build import eager_system
from framesift.export.bundle.errors import BundleError
from framesift.export.bundle.store import Bundle
from framesift.export.bundle.text.clip_bpe import ClipTokenizer
from framesift.export.bundle.text.merges_file import read_merges
from framesift.export.systems.clip import ClipSystem
from framesift.export.systems.examples import small_system

pytestmark = pytest.mark.slow
pytest.importorskip("transformers", reason="transformers is not installed: pip install 'framesift[baselines]'")


def test_transformers_clip_is_the_checkpoints(bundle: Bundle) -> None:
    from framesift.bench.baselines.hugging_face import clip_tokenizer, text_features, text_model
    from framesift.bench.inputs.queries import captions

    eager, profile = eager_system(bundle).eval(), bundle.manifest.tokenizer
    assert isinstance(eager, ClipSystem)
    words = eager.text_positions
    model = text_model(eager.clip)
    merges = bundle.file(profile.files[0])
    tokenizer = clip_tokenizer(list(read_merges(merges)))
    ours = ClipTokenizer.load(profile, merges)
    texts = [*captions(200), "It's a DOG's  café!! 3 dogs, 12 cats", "don't stop", "word " * 100]
    for text in texts:
        theirs = tokenizer([text], truncation=True, max_length=words)["input_ids"][0]
        row = ours.encode([text])[0].tolist()
        assert theirs == row[: row.index(ours.end_id) + 1], text
    with torch.inference_mode():
        expected = eager.clip(torch.from_numpy(ours.encode(texts)))
    torch.testing.assert_close(text_features(model, tokenizer, texts, words), expected)


def test_another_tower_is_refused() -> None:
    from framesift.bench.baselines.hugging_face import text_model

    towers = small_system("clip4clip meanP").clip
    text_model(towers)
    towers.transformer.resblocks[0].adapter = torch.nn.Linear(2, 2)
    with pytest.raises(BundleError, match=r"no such text tower: .*adapter"):
        text_model(towers)
