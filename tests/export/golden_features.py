"""Cases of systems whose videos come as features: raw arrays and texts, through the code that reads a user's."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from framesift.export.bundle.features.checks import check_arrays
from framesift.export.bundle.features.reading import feature_inputs
from framesift.export.bundle.manifest import SENTENCE_CLEANING, WORDS_CLEANING, TokenizerProfile
from framesift.export.bundle.text.tokenizers import TOKENIZERS, Tokenizer, load_tokenizer

from .golden_cases import Case


def raw_inputs(case: Case) -> list[Tensor]:
    """The video encoder's inputs in float64, made of a case's raw arrays as of a feature file's."""
    ports = {port.name: port for port in case.model.video_inputs}
    files: dict[str, dict[str, np.ndarray]] = {}
    for key, tensor in case.tensors.items():
        if key.startswith("in.raw."):
            video, _, name = key.removeprefix("in.raw.").partition(".")
            files.setdefault(video, {})[name] = tensor.numpy()
    profile = case.model.features
    made = [feature_inputs(check_arrays(files[video], profile), profile, ports) for video in sorted(files, key=int)]
    return [torch.from_numpy(np.stack([inputs[name] for inputs in made])).double() for name in ports]


def tokenizer_of(kind: str, vocabulary: Sequence[str], length: int, cleaning: str) -> Tokenizer:
    """The tokenizer of a case's own vocabulary."""
    name = TOKENIZERS[kind].file
    profile = TokenizerProfile(kind, (name,), length, buckets=(length,), cleaning=cleaning)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / name).write_text("\n".join([*vocabulary, ""]), encoding="utf-8")
        return load_tokenizer(profile, Path(folder))


def howto100m(case: Case) -> dict[str, Tensor]:
    """Every output of a case: from vectors, or from sentences and raw rows where it has them."""
    model, words, video = case.model, case["in.word_vectors"], case["in.video"]
    text, clips = model.embed_words(words), model.GU_video(video)
    if "sentences" in case.meta:
        vocab, length = case.meta["vocab"], case.config["max_words"]
        ids = torch.from_numpy(tokenizer_of("words", vocab, length, WORDS_CLEANING).encode(case.meta["sentences"]))
        torch.testing.assert_close(model.word_vectors(ids), words, atol=0, rtol=0)
        text, clips = model.encode_text(ids)[0], model.encode_video(*raw_inputs(case))[0]
    return {"text_embeds": text, "video_embeds": clips, "sims": model.score((text,), (clips,))}


def howto100m_graph_inputs(case: Case) -> tuple[Tensor, list[Tensor]]:
    """Rows of the word table, and features as the video encoder's graph takes them."""
    if "sentences" in case.meta:
        vocab, length = case.meta["vocab"], case.config["max_words"]
        ids = tokenizer_of("words", vocab, length, WORDS_CLEANING).encode(case.meta["sentences"])
        return torch.from_numpy(ids), raw_inputs(case)
    # The case has vectors instead of words: each becomes a word of its own.
    words, model = case["in.word_vectors"], case.model
    rows, length, width = words.shape
    ids = torch.arange(1, rows * length + 1).reshape(rows, length) * words.any(-1)
    model.word_vectors = torch.nn.Embedding.from_pretrained(
        torch.cat([torch.zeros(1, width), words.reshape(-1, width)])
    )
    flat = model.video_inputs[0].shape[0]
    return ids, [case["in.video"][:, :flat], case["in.video"][:, flat:]]


def mmt_graph_inputs(case: Case) -> tuple[Tensor, list[Tensor]]:
    """Token ids, and the experts' features as the video encoder's graph takes them; of raw arrays where there are."""
    ids, mask = case["in.token_ids"][:, 0].unbind(-1)
    assert torch.equal(mask, (ids != 0).long())
    experts = case.model.experts
    pooled = [(case[f"in.features_maxpool.{name}"], case[f"in.features.{name}"]) for name in experts]
    facts = [torch.stack([case[f"in.{what}.{name}"] for name in experts], 1) for what in ("features_t", "features_ind")]
    given = [*(torch.cat([largest.unsqueeze(1), rows], 1) for largest, rows in pooled), *facts]
    if "captions" in case.meta:
        tokenizer = tokenizer_of("wordpiece", case.meta["vocab"], case.config["W"], SENTENCE_CLEANING)
        assert tokenizer.encode(case.meta["captions"]).tolist() == ids.tolist()
        made = raw_inputs(case)
        for name, one, other in zip([port.name for port in case.model.video_inputs], made, given, strict=True):
            torch.testing.assert_close(one, other, atol=0, rtol=0, msg=name)
        return ids, made
    return ids, given


def mmt(case: Case) -> dict[str, Tensor]:
    """Every output of a case: from tensors, or from captions and raw arrays where it has them."""
    model = case.model
    ids, inputs = mmt_graph_inputs(case)
    embedded, logits = model.embed_text(ids)
    return {
        "vid_embds": model.embed_video(*inputs),
        "text_embds": embedded,
        "text_weights": logits.softmax(-1),
        "vid_weights": case["out.vid_weights"],
        "sims": model.score(model.encode_text(ids), model.encode_video(*inputs)),
    }
