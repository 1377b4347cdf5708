"""The baseline in Hugging Face transformers has the same towers and the same vocabulary as the checkpoint."""

from __future__ import annotations

import pytest
import torch

from framesift.export.build import eager_model
from framesift.export.bundle.merges_file import read_merges
from framesift.export.bundle.store import Bundle
from framesift.export.bundle.text import Tokenizer

pytestmark = pytest.mark.slow
pytest.importorskip("transformers")


def test_transformers_clip_is_the_checkpoints(bundle: Bundle) -> None:
    from framesift.bench.baselines.hugging_face import clip_model, clip_tokenizer, text_features
    from framesift.bench.baselines.material import queries

    eager, profile = eager_model(bundle).eval(), bundle.manifest.tokenizer
    sizes = eager.config.clip
    model = clip_model(eager.clip, sizes)
    tokenizer = clip_tokenizer(list(read_merges(bundle.file(profile.merges))))
    ours = Tokenizer.load(bundle.file(profile.merges), profile)
    texts = [*queries(200), "It's a DOG's  café!! 3 dogs, 12 cats", "don't stop", "word " * 100]
    for text in texts:
        theirs = tokenizer([text], truncation=True, max_length=sizes.context_length)["input_ids"][0]
        row = ours.encode([text])[0].tolist()
        assert theirs == row[: row.index(ours.end_id) + 1], text
    with torch.inference_mode():
        expected = eager.encode_text(torch.from_numpy(ours.encode(texts)))
    torch.testing.assert_close(text_features(model, tokenizer, texts, sizes.context_length), expected)
    pixels = torch.rand(2, 3, sizes.image_size, sizes.image_size)
    with torch.inference_mode():
        found = model.get_image_features(pixels)
        torch.testing.assert_close(getattr(found, "pooler_output", found), eager.clip.visual.embed(pixels))
