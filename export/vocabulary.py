"""The tokenizer's files and profile in a bundle."""

from __future__ import annotations

import shutil
from pathlib import Path

from .bundle.errors import CheckpointError
from .bundle.manifest import TokenizerProfile
from .bundle.text.tokenizers import TOKENIZERS, load_tokenizer
from .checkpoint import Checkpoint

# Shorter lengths of which the smallest that fits is taken, where the model allows it.
BUCKETS = (16, 32)


def buckets(length: int, *, fixed: bool) -> tuple[int, ...]:
    """The lengths of a batch of texts of at most ``length`` positions, ascending; that one alone where it is fixed."""
    shorter = () if fixed else tuple(bucket for bucket in BUCKETS if bucket < length)
    return (*shorter, length)


def vocabulary_beside(folder: Path, kind: str) -> Path | None:
    """The vocabulary that authors left in the folder of their checkpoint, for a kind of tokenizer where they do."""
    known = TOKENIZERS[kind]
    names = (known.file, f"{known.file}.gz") if known.beside else ()
    return next((folder / name for name in names if (folder / name).is_file()), None)


def tokenizer_files(
    checkpoint: Checkpoint,
    vocabulary: Path | None,
    folder: Path,
    *,
    vocab_size: int,
    max_tokens: int,
    kind: str,
    fixed_length: bool = False,
    sliced_from: int | None = None,
    cleaning: str = "",
) -> TokenizerProfile:
    """Write the vocabulary into ``folder``: the file given, the checkpoint's own, or the one that comes with framesift.

    Args:
        vocabulary: the file given.
        vocab_size: tokens that the text encoder knows.
        max_tokens: token positions of a text.
        kind: one of ``TOKENIZERS``.
        fixed_length: whether every text must have exactly that many.
        sliced_from: see ``TokenizerProfile``; no more than ``max_tokens`` is no slice.
        cleaning: where it is not the kind's own.

    Raises:
        CheckpointError: the vocabulary has another size.
    """
    known = TOKENIZERS[kind]
    source = vocabulary or (None if checkpoint.merges is not None else known.shipped())
    if source is not None:
        name = f"{known.file}.gz" if source.suffix == ".gz" else known.file
        shutil.copyfile(source, folder / name)
    else:
        name = known.file
        (folder / name).write_text(checkpoint.merges or "", encoding="utf-8")
    profile = TokenizerProfile(
        kind=kind,
        files=(name,),
        context_length=max_tokens,
        buckets=buckets(max_tokens, fixed=fixed_length),
        cleaning=cleaning or known.cleaning,
        sliced_from=sliced_from if sliced_from is not None and sliced_from > max_tokens else None,
    )
    found = load_tokenizer(profile, folder).vocab_size
    if found != vocab_size:
        raise CheckpointError(
            f"its text encoder knows {vocab_size} tokens and the vocabulary {source or name} makes {found}: "
            f"{known.bring}"
        )
    return profile
