"""The tokenizer's files and profile in a bundle."""

from __future__ import annotations

import shutil
from pathlib import Path

from .bundle.errors import CheckpointError
from .bundle.manifest import TokenizerProfile
from .bundle.text.merges_file import clip_merges
from .bundle.text.tokenizers import load_tokenizer
from .checkpoint import Checkpoint

# Shorter lengths of which the smallest that fits is taken, where the model allows it.
BUCKETS = (16, 32)


def buckets(length: int, *, whole_text: bool) -> tuple[int, ...]:
    """The lengths of a batch of texts of at most ``length`` positions, ascending; of whole texts that one alone."""
    shorter = () if whole_text else tuple(bucket for bucket in BUCKETS if bucket < length)
    return (*shorter, length)


def tokenizer_files(
    checkpoint: Checkpoint,
    vocab_size: int,
    merges: Path | None,
    folder: Path,
    *,
    words: int | None = None,
    whole_text: bool = False,
    sliced_from: int | None = None,
) -> TokenizerProfile:
    """Write the vocabulary into ``folder``: the file given, the checkpoint's own, or CLIP's.

    Args:
        words: token positions of a text; as many as the text tower has where not given.
        whole_text: whether every text must have exactly that many.
        sliced_from: see ``TokenizerProfile``.

    Raises:
        CheckpointError: its size is not that of the checkpoint's token embedding.
    """
    if merges is not None:
        name = "merges.txt.gz" if merges.suffix == ".gz" else "merges.txt"
        shutil.copyfile(merges, folder / name)
    elif checkpoint.merges is not None:
        name = "merges.txt"
        (folder / name).write_text(checkpoint.merges, encoding="utf-8")
    else:
        name = "merges.txt.gz"
        shutil.copyfile(clip_merges(), folder / name)
    positions = checkpoint.state["clip.positional_embedding"].shape[0]
    length = positions if words is None else min(words, positions)
    sliced = min(sliced_from or 0, positions)
    profile = TokenizerProfile(
        files=(name,),
        context_length=length,
        buckets=buckets(length, whole_text=whole_text),
        sliced_from=sliced if sliced > length else None,
    )
    found = load_tokenizer(profile, folder).vocab_size
    if found != vocab_size:
        raise CheckpointError(
            f"the checkpoint knows {vocab_size} tokens and the vocabulary {merges or name} makes {found}: "
            "pass the merges file that it was trained with (--merges)"
        )
    return profile
