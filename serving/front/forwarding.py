"""A job's tensors as they go upstream, where it is not one of the searches that go together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ...export.bundle.errors import InvalidRequest
from ...export.bundle.like import PREFIX
from ...export.bundle.models import LIKE_SEARCHES, TEXT_BATCH
from ...export.bundle.ports import CANDIDATE_LENGTHS, CANDIDATES, FEATURES, ID, TEXT, TEXT_LENGTH, TOKEN_IDS, TOP, VIDEO
from .cursors import queries, read_cursor
from .jobs import Job
from .options import options_tensor
from .record import TOKENISE, Record, now
from .texts import Encoder, candidate_tensors, read_texts, read_top
from .upstream import Tensor

# What the door reads and writes anew.
_READ = (TEXT, TEXT_LENGTH, CANDIDATES, CANDIDATE_LENGTHS)
# What is sent to be searched with; a model that draws noise draws it by the id.
_SENT = (FEATURES, ID, VIDEO)


class Encoded(NamedTuple):
    """A job as it goes upstream.

    Attributes:
        tensors: with token ids in the place of texts.
        cut: the rows whose texts are longer than what is read of them.
        queries: what cursors of the answer are marked with, see ``cursors``; none where they are not.
    """

    tensors: list[Tensor]
    cut: Sequence[int]
    queries: Sequence[bytes]


async def encoded(job: Job, encoder: Encoder, record: Record) -> Encoded:
    """A job as it goes upstream.

    Raises:
        InvalidRequest, InvalidQuery: texts, candidates or a number of hits that can't be.
    """
    public, cut, options = job.public, list[int](), job.asked.options
    raw = {tensor.name: tensor.raw for tensor in job.tensors if tensor.name in (*_READ, TOP)}
    made, texts, like = list(public.fixed), list[str](), public.name in LIKE_SEARCHES
    if TEXT in public.inputs:
        began = now()
        texts = record.texts = read_texts(raw, job.asked.shape(TEXT))
        if not 1 <= len(texts) <= TEXT_BATCH:
            raise InvalidRequest(
                f"{public.name} takes 1 to {TEXT_BATCH} texts, {len(texts) or 'an empty tensor'} was sent"
            )
        ids = await encoder.encode(texts)
        if like:
            cut = await encoder.cut(texts, ids)
        made.append(ids_tensor(ids, PREFIX if like else ""))
        record.stage(TOKENISE, began)
    asked = queries(texts, (tensor for tensor in job.tensors if tensor.name in _SENT)) if like else []
    if asked:
        options = read_cursor(options, asked)
    if CANDIDATES in public.inputs:
        read_top(raw[TOP])
        made += candidate_tensors(await encoder.candidates(raw, public.max_batch), public.max_batch)
    if options:
        made.append(options_tensor(options, public.max_batch))
    return Encoded([*made, *(tensor for tensor in job.tensors if tensor.name not in _READ)], cut, asked)


def ids_tensor(ids: npt.NDArray[np.int64], prefix: str = "") -> Tensor:
    """Token ids int64 [B, W] of texts."""
    return Tensor(prefix + TOKEN_IDS, "INT64", ids.shape, ids.tobytes())
