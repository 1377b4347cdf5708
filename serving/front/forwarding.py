"""A job's tensors as they go upstream, where it is not one of the searches that go together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ...export.bundle.errors import InvalidRequest
from ...export.bundle.like import PREFIX
from ...export.bundle.models import LIKE_SEARCHES, TEXT_BATCH
from ...export.bundle.ports import CANDIDATE_LENGTHS, CANDIDATES, TEXT, TEXT_LENGTH, TOKEN_IDS, TOP
from .jobs import Job
from .options import options_tensor
from .record import TOKENISE, Record, now
from .texts import Encoder, candidate_tensors, read_texts, read_top
from .upstream import Tensor

# What the door reads and writes anew.
_READ = (TEXT, TEXT_LENGTH, CANDIDATES, CANDIDATE_LENGTHS)


async def encoded(job: Job, encoder: Encoder, record: Record) -> tuple[list[Tensor], Sequence[int]]:
    """The tensors, with token ids in the place of texts, and the rows whose texts are longer than what is read.

    Raises:
        InvalidRequest, InvalidQuery: texts, candidates or a number of hits that can't be.
    """
    public, cut = job.public, list[int]()
    raw = {tensor.name: tensor.raw for tensor in job.tensors if tensor.name in (*_READ, TOP)}
    made = list(public.fixed)
    if TEXT in public.inputs:
        began = now()
        texts = record.texts = read_texts(raw, job.asked.shape(TEXT))
        if not 1 <= len(texts) <= TEXT_BATCH:
            raise InvalidRequest(
                f"{public.name} takes 1 to {TEXT_BATCH} texts, {len(texts) or 'an empty tensor'} was sent"
            )
        ids, like = await encoder.encode(texts), public.name in LIKE_SEARCHES
        cut = await encoder.cut(texts, ids) if like else cut
        made.append(ids_tensor(ids, PREFIX if like else ""))
        record.stage(TOKENISE, began)
    if CANDIDATES in public.inputs:
        read_top(raw[TOP])
        made += candidate_tensors(await encoder.candidates(raw, public.max_batch), public.max_batch)
    if job.asked.options:
        made.append(options_tensor(job.asked.options, public.max_batch))
    return [*made, *(tensor for tensor in job.tensors if tensor.name not in _READ)], cut


def ids_tensor(ids: npt.NDArray[np.int64], prefix: str = "") -> Tensor:
    """Token ids int64 [B, W] of texts."""
    return Tensor(prefix + TOKEN_IDS, "INT64", ids.shape, ids.tobytes())
