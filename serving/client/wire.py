"""Every call to the server: its inputs as tensors, and its answer read from tensors. Nothing is sent from here."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt
from tritonclient.grpc import InferInput, InferResult
from tritonclient.utils import np_to_triton_dtype

from ...export.bundle.checks import check_id, check_source, dump_metadata, encode_text, listed
from ...export.bundle.errors import InvalidQuery, InvalidRequest
from ...export.bundle.limits import MAX_CANDIDATE_BYTES, MAX_CANDIDATES, MAX_PAIRS, MAX_VIDEO_BYTES
from ...export.bundle.models import (
    ARRAYS,
    CHOOSER,
    ENCODE_FRAMES,
    ENCODE_VIDEO,
    FINGERPRINT,
    GALLERY,
    INDEX_VIDEO,
    MAX_ROWS,
    MAX_VIDEO,
    SCORE_TEXT,
    SEARCH,
    SYSTEM,
    VIDEO_BATCH,
)
from ...export.bundle.packing import pack_joined, pack_rows
from ...export.bundle.ports import (
    CANDIDATE_LENGTHS,
    CANDIDATES,
    COUNT,
    CUTTING,
    DIGEST,
    FEATURES,
    ID,
    METADATA,
    SCORES,
    SOURCE,
    TEXT,
    TEXT_LENGTH,
    TOP,
    VERSION,
    VIDEO,
)
from .answers import output, record_list, search_results, weights
from .results import Indexed, Scores, SearchResult, Served, VideoRecord
from .signature import Signature, check_shape, clip_inputs
from .uploads import Brought

if TYPE_CHECKING:
    from ...export.bundle.cut_request import CutRequest

TEXTS_PER_CALL = 32
# A message holds less than 2 GiB, and the server copies it.
RECORD_BYTES_PER_CALL = 256 << 20

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Call(Generic[Answer]):
    """One request: the model, its inputs, and how to read what it answers."""

    model: str
    inputs: list[InferInput]
    read: Callable[[InferResult], Answer]
    parameters: Mapping[str, Any] = field(default_factory=dict)


def tensors(arrays: Mapping[str, npt.NDArray[Any]]) -> list[InferInput]:
    """Arrays as a request's inputs, by their names."""
    return [
        InferInput(name, array.shape, np_to_triton_dtype(array.dtype)).set_data_from_numpy(array)
        for name, array in arrays.items()
    ]


def parts(count: int, size: int) -> list[slice]:
    """``count`` items in parts of up to ``size``."""
    return [slice(size * n, min(size * (n + 1), count)) for n in range(math.ceil(count / size))]


def encode_texts(texts: Sequence[str]) -> list[bytes]:
    """The texts as they are sent.

    Raises:
        InvalidQuery: no list of texts, or a text that is empty, too long or not Unicode.
    """
    return [encode_text(text) for text in listed(texts, "texts", InvalidQuery)]


def search_calls(
    texts: Sequence[bytes],
    top: int,
    most: int,
    candidates: Sequence[str] | None = None,
    options: Mapping[str, Any] | None = None,
) -> list[Call[list[SearchResult]]]:
    """Calls that search for the ``top`` best of each of ``texts``, in order, at most ``most`` texts in each.

    Ids of candidates go with every text, so of long ones fewer texts go together.

    Args:
        candidates: ids of the videos to search among; None for all.
        options: what else is asked for, by the names of the request's parameters.

    Raises:
        InvalidRequest: no list of ids, none of them, too many, or one that breaks the rules.
    """
    among = {} if candidates is None else candidate_arrays(candidates)

    def call(part: Sequence[bytes]) -> Call[list[SearchResult]]:
        named = {name: np.repeat(values[None], len(part), 0) for name, values in among.items()}
        inputs = {**text_arrays(part), TOP: np.full((len(part), 1), top, np.int32), **named}
        words = [text.decode() for text in part]
        return Call(SEARCH, tensors(inputs), lambda result: search_results(result, words), options or {})

    together = (MAX_CANDIDATE_BYTES // values.nbytes for values in among.values())
    return [call(texts[part]) for part in parts(len(texts), min(most, TEXTS_PER_CALL, *together))]


def texts_per_search(config: Any) -> int:
    """The most texts of one search, from the server's configuration of the searching model."""
    return max(1, int(config.max_batch_size))


def index_call(
    brought: Brought,
    takes: Signature,
    id_: str | None,
    source: str | None,
    metadata: Mapping[str, Any] | None,
    cut: CutRequest | None = None,
    film_digest: bytes | None = None,
) -> Call[Indexed]:
    """A call that puts a video into the gallery of a model that ``takes`` these; what is None is taken from the file.

    Args:
        cut: the segments of the film that the file has, if it is cut.
        film_digest: the SHA-256 of the film, where the file is a piece of it.

    Raises:
        InvalidRequest: an id, source or metadata that breaks the rules, or a film that can't be cut.
    """
    id_ = check_id(brought.named.id if id_ is None else id_)
    source = check_source(brought.named.source if source is None else source)
    file_digest = brought.digest if film_digest is None else film_digest
    digest = file_digest if cut is None else cut.cutting.digest(file_digest)
    inputs = {
        **brought.tensors(takes),
        ID: pack_rows([id_.encode()]),
        SOURCE: pack_rows([source.encode()]),
        DIGEST: np.frombuffer(file_digest, np.uint8)[None],
        METADATA: pack_rows([dump_metadata({} if metadata is None else metadata).encode()]),
    }
    if cut is not None:
        from .films import check_cut

        check_cut(takes, inputs)
        if CUTTING not in takes:
            raise InvalidRequest("the server can't cut films: it is of an earlier version")
        inputs[CUTTING] = np.frombuffer(cut.json().encode(), np.uint8)[None]

    def read(result: InferResult) -> Indexed:
        version, count = (int(output(result, name)[0, 0]) for name in (VERSION, COUNT))
        return Indexed(id_, version, count, digest, file_digest)

    return Call(INDEX_VIDEO, tensors(inputs), read)


def encode_video_call(brought: Brought, id_: str | None, takes: Signature) -> Call[VideoRecord]:
    """A call that encodes a video and keeps nothing; the id is sent to a model that ``takes`` one.

    Raises:
        InvalidRequest: an id that breaks the rules.
    """
    id_ = check_id(brought.named.id if id_ is None else id_)
    inputs = brought.tensors(takes)
    if ID in takes:
        inputs[ID] = pack_rows([id_.encode()])
    return Call(ENCODE_VIDEO, tensors(inputs), lambda r: record_list(r)[0])


def encode_frames_calls(
    takes: Signature, frames: npt.ArrayLike, mask: npt.ArrayLike | None, ids: Sequence[str] | None
) -> list[Call[list[VideoRecord]]]:
    """Calls that encode clips, at most ``VIDEO_BATCH`` in each, for a model that ``takes`` these inputs.

    Raises:
        InvalidRequest: see ``signature.clip_inputs``.
    """
    inputs = clip_inputs(takes, frames, mask, ids)
    return [
        Call(ENCODE_FRAMES, tensors({name: array[part] for name, array in inputs.items()}), record_list)
        for part in parts(len(next(iter(inputs.values()))), VIDEO_BATCH)
    ]


def score_calls(
    texts: Sequence[bytes], records: Sequence[VideoRecord], takes: Signature, most: int
) -> list[list[Call[Scores]]]:
    """Calls that score ``texts`` against records, of whose tensors the scorer ``takes`` these.

    Each scores at most ``most`` pairs. A row of calls is of the same texts and all records.

    Raises:
        InvalidRequest: no texts, no records, or records that lack a tensor or have one of another shape.
    """
    records = listed(records, "records")
    if not texts or not records:
        raise InvalidRequest(f"scoring needs texts and records, got {len(texts)} and {len(records)}")
    for record in records:
        if not isinstance(record, VideoRecord):
            raise InvalidRequest(f"a record is {type(record).__name__}: give what `encode_video` returned")
    held = {name: _stacked(records, name) for name in takes}
    for name, array in held.items():
        check_shape(takes[name], array)
    each = max(1, sum(array[0].nbytes for array in held.values()))
    across = max(1, min(len(records), most, RECORD_BYTES_PER_CALL // each))

    def call(rows: slice, columns: slice) -> Call[Scores]:
        inputs = {**text_arrays(texts[rows]), **{name: array[columns] for name, array in held.items()}}
        return Call(SCORE_TEXT, tensors(inputs), lambda result: Scores(output(result, SCORES), weights(result)))

    return [
        [call(rows, columns) for columns in parts(len(records), across)]
        for rows in parts(len(texts), max(1, min(TEXTS_PER_CALL, most // across)))
    ]


def joined_scores(parts: Sequence[Sequence[Scores]]) -> Scores:
    """The scores of all texts and records, from those of ``score_calls``."""
    scores = np.concatenate([np.concatenate([part.scores for part in row], axis=1) for row in parts])
    attention = [[part.attention for part in row if part.attention is not None] for row in parts]
    if not attention[0]:
        return Scores(scores)
    return Scores(scores, np.concatenate([np.concatenate(row, axis=1) for row in attention]))


def pairs_per_call(config: Any) -> int:
    """The most pairs of one scoring request, from the server's configuration of the scorer."""
    rows = config.parameters[MAX_ROWS].string_value if MAX_ROWS in config.parameters else ""
    return int(rows) if rows.isdigit() and int(rows) else MAX_PAIRS


def largest_video(config: Any) -> int:
    """The most bytes of a video, from the server's configuration of a model that takes one."""
    size = config.parameters[MAX_VIDEO].string_value if MAX_VIDEO in config.parameters else ""
    return int(size) if size.isdigit() else MAX_VIDEO_BYTES


def served(address: str, config: Any, count: int) -> Served:
    """What answers, from the server's configuration of the indexing model."""
    told = {name: value.string_value for name, value in config.parameters.items()}
    takes = tuple(port.name for port in config.input if port.name in (VIDEO, FEATURES))
    named = (told.get(name, "") for name in (SYSTEM, FINGERPRINT, GALLERY, ARRAYS, CHOOSER))
    system, fingerprint, gallery, arrays, shortlist = named
    return Served(address, system, fingerprint, gallery, count, takes, arrays, shortlist)


def record_inputs(takes: Signature) -> Signature:
    """The record tensors that the scorer reads, of all that the scoring model ``takes``."""
    return {name: spec for name, spec in takes.items() if name not in {TEXT, TEXT_LENGTH}}


def _stacked(records: Sequence[VideoRecord], name: str) -> npt.NDArray[np.float32]:
    try:
        return np.stack([np.asarray(record.tensors[name], np.float32) for record in records])
    except KeyError as error:
        raise InvalidRequest(f"a record has no tensor {error}, which the scorer reads") from error
    # Beside shapes that differ, whatever an object's own way into numpy raises.
    except Exception as error:
        raise InvalidRequest(f"the records don't fit one another: {error}") from error


def candidate_arrays(ids: Sequence[str]) -> dict[str, npt.NDArray[Any]]:
    """The inputs that name candidates, without a batch.

    Raises:
        InvalidRequest: no list of ids, none of them, too many, or one that breaks the rules.
    """
    checked = [check_id(id_) for id_ in listed(ids, "candidates")]
    if not 1 <= len(checked) <= MAX_CANDIDATES:
        raise InvalidRequest(f"a search takes 1 to {MAX_CANDIDATES} candidates, it was given {len(checked)}")
    joined, lengths = pack_joined([id_.encode() for id_ in checked])
    return {CANDIDATES: joined, CANDIDATE_LENGTHS: lengths}


def text_arrays(rows: Sequence[bytes]) -> dict[str, npt.NDArray[Any]]:
    """The inputs that hold texts."""
    return {TEXT: pack_rows(rows), TEXT_LENGTH: np.array([[len(row)] for row in rows], np.int32)}
