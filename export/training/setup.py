"""A model, its tokenizer and its corpus, ready to be trained."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import click

from ..bundle.errors import CheckpointError, InvalidVideo
from ..bundle.manifest import FrameProfile, TokenizerProfile
from ..bundle.text.merges_file import clip_merges, merges_text
from ..bundle.text.tokenizers import Tokenizer, load_tokenizer
from ..checkpoint import Checkpoint, fit, load
from ..corpus.cache import DecodedCorpus, decoded
from ..corpus.manifest import Clip, read_manifest
from ..encoders.clip import ARCHITECTURES, ClipConfig
from ..systems.dong2026 import DONG2026, Dong2026, Dong2026Config
from ..vocabulary import tokenizer_files

_OPTIONS = {field.name for field in fields(Dong2026Config)}
_HEAD = ("pool_frames.", "temporal_encoding", "transformerClip.")


@dataclass(frozen=True)
class Trainee:
    """A model in training and the vocabulary that it reads."""

    model: Dong2026
    tokenizer: Tokenizer
    merges: str | None


def from_checkpoint(
    path: Path,
    options: Mapping[str, Any],
    *,
    merges: Path | None,
    dropout: float = 0.0,
    towers_only: bool = False,
) -> Trainee:
    """Start from a trained CLIP or an earlier fine-tuning.

    Args:
        options: of ``Dong2026Config``; what is not given comes from the checkpoint, or else from its defaults.
        towers_only: take the towers alone; the head and the temporal encoding start anew, as they do from a bare CLIP.

    Raises:
        CheckpointError: the weights don't fit the model asked for.
    """
    loaded = load(path)
    if towers_only:
        state = {key: value for key, value in loaded.state.items() if not key.startswith(_HEAD)}
        loaded = replace(loaded, state=state, options={})
    try:
        kept = {key: value for key, value in loaded.options.items() if key in _OPTIONS}
        heads = {key: value for key, value in loaded.options.items() if key in ("vision_heads", "text_heads")}
        config = Dong2026Config(**{**kept, **options}, clip=replace(ClipConfig.from_state(loaded.state), **heads))
    except (KeyError, ValueError, TypeError) as error:
        raise CheckpointError(f"{path} can't be fine-tuned: {error}") from error
    model = Dong2026(config, dropout=dropout)
    bare = not any(key.startswith(_HEAD) for key in loaded.state)
    fit(model, loaded.state, ignore=_HEAD if bare else ())
    return Trainee(
        model,
        _tokenizer(loaded, config.clip, merges),
        loaded.merges if merges is None else merges_text(merges),
    )


def from_scratch(
    architecture: str, options: Mapping[str, Any], *, merges: Path | None, dropout: float = 0.0
) -> Trainee:
    """Start from random weights; the text tower is made for the vocabulary of ``merges``, or for CLIP's.

    Raises:
        CheckpointError: options that don't make a model.
    """
    clip = ARCHITECTURES[architecture]
    source = merges or clip_merges()
    profile = TokenizerProfile(files=(source.name,), context_length=clip.context_length)
    tokenizer = load_tokenizer(profile, source.parent)
    try:
        config = Dong2026Config(**options, clip=replace(clip, vocab_size=tokenizer.vocab_size))
    except ValueError as error:
        raise CheckpointError(f"{architecture} can't be trained so: {error}") from error
    return Trainee(Dong2026(config, dropout=dropout), tokenizer, None if merges is None else merges_text(merges))


def load_corpus(manifest: Path, model: Dong2026, cache: Path | None) -> DecodedCorpus:
    """Decode a manifest's videos, showing progress; bad files are listed and left out."""
    clips: list[Clip] = read_manifest(manifest)
    profile = FrameProfile(count=model.config.frames, size=model.config.clip.image_size)
    folder = cache or manifest.parent / ".frames"
    with click.progressbar(length=len(clips), label=f"decoding {manifest}", file=sys.stderr) as bar:
        corpus = decoded(clips, profile, folder, done=bar.update)
    for line in corpus.bad:
        click.echo(f"left out: {line}", err=True)
    if len(corpus.bad) > len(clips) // 2:
        raise InvalidVideo(f"{len(corpus.bad)} of {len(clips)} videos of {manifest} can't be decoded")
    return corpus


def _tokenizer(loaded: Checkpoint, clip: ClipConfig, merges: Path | None) -> Tokenizer:
    with tempfile.TemporaryDirectory() as folder:
        profile = tokenizer_files(
            loaded,
            merges,
            Path(folder),
            vocab_size=clip.vocab_size,
            max_tokens=clip.context_length,
            kind=DONG2026.preprocessing.tokenizer,
        )
        return load_tokenizer(profile, Path(folder))
