"""Ways in which a ModelInferRequest is made wrong: names, types, shapes, bytes, contents, parameters."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

Chance = random.Random
Mutation = Callable[[Any, Chance], None]

SIZES = (-(1 << 63), -1, 0, 1, 2, 3, 12, 32, 33, 1 << 16, 1 << 31, 1 << 32, 1 << 57, 1 << 61, 1 << 62, (1 << 63) - 1)
DATATYPES = ("BYTES", "FP64", "FP32", "FP16", "BF16", "INT8", "INT32", "UINT64", "BOOL", "", "uint8", "x" * 200)
NAMES = (
    *("tokenizer", "text_encoder", "scorer", "video_decoder", "video_encoder", "gallery_index", "gallery_search"),
    *("search_ids", "score_ids", "search", "score_text", "index_video", "gallery_lookup", "encode_frames"),
    *("search_details", "search_named", "gallery_edit", "gallery_list", "encode_video", "feature_reader"),
    *("search_like_text", "search_like", "search_video_text", "search_video", "gallery_like", "index_segment"),
    *("shortlist_text_encoder", "shortlist_video_encoder"),
    *("", "nope", "../search", "search/versions/1", "search\0", "S" * 5000, "search?x=1", "%2e%2e", "тест"),
)
_PARAMETERS = (
    *("sequence_id", "sequence_start", "priority", "timeout", "binary_data", "classification", "headers"),
    *("shared_memory_region", "shared_memory_byte_size", "shared_memory_offset", "triton_enable_empty_final_response"),
    *("", "triton_", "x" * 300, "facts", "top", "after", "where", "min_score", "offset", "list", "options"),
)
_FIELDS = ("bool_contents", "int_contents", "int64_contents", "uint_contents", "uint64_contents", "fp32_contents")


def _one_size(request: Any, chance: Chance) -> None:
    if (tensor := _tensor(request, chance)) is not None and tensor.shape:
        tensor.shape[chance.randrange(len(tensor.shape))] = chance.choice(SIZES)


def _one_size_everywhere(request: Any, chance: Chance) -> None:
    """The batch of every input: no two of them contradict each other."""
    size = chance.choice(SIZES)
    for tensor in request.inputs:
        if tensor.shape:
            tensor.shape[0] = size
    if chance.random() < 0.5:
        for place in range(len(request.raw_input_contents)):
            request.raw_input_contents[place] = b""


def _all_sizes(request: Any, chance: Chance) -> None:
    if (tensor := _tensor(request, chance)) is not None:
        del tensor.shape[:]
        tensor.shape.extend(chance.choice(SIZES) for _ in range(chance.choice((0, 1, 2, 3, 5, 100))))


def _bytes(request: Any, chance: Chance) -> None:
    if request.raw_input_contents:
        place = chance.randrange(len(request.raw_input_contents))
        request.raw_input_contents[place] = chance.randbytes(chance.choice((0, 1, 3, 4, 100, 5000)))


def _values(request: Any, chance: Chance) -> None:
    """As many bytes as before, of which every number is an extreme one."""
    if request.raw_input_contents:
        place = chance.randrange(len(request.raw_input_contents))
        size = len(request.raw_input_contents[place])
        number = chance.choice((b"\0", b"\xff", b"\0\0\xc0\x7f", b"\0\0\x80\x7f", b"\xff\xff\xff\x7f", b"\0\0\0\x80"))
        request.raw_input_contents[place] = (number * size)[:size]


def _fewer_or_more_bytes(request: Any, chance: Chance) -> None:
    if request.raw_input_contents and chance.random() < 0.5:
        del request.raw_input_contents[chance.randrange(len(request.raw_input_contents))]
    else:
        request.raw_input_contents.append(chance.randbytes(chance.choice((0, 8, 2000))))


def _datatype(request: Any, chance: Chance) -> None:
    if (tensor := _tensor(request, chance)) is not None:
        tensor.datatype = chance.choice(DATATYPES)


def _parameter(request: Any, chance: Chance) -> None:
    places = [request, *request.inputs, *request.outputs]
    value = chance.choice(places).parameters[chance.choice(_PARAMETERS)]
    kind = chance.randrange(3)
    if kind == 0:
        value.int64_param = chance.choice(SIZES)
    elif kind == 1:
        value.string_param = chance.choice(("", "region", "/dev/shm", "x" * 1000))
    else:
        value.bool_param = True


def _input_renamed(request: Any, chance: Chance) -> None:
    if (tensor := _tensor(request, chance)) is not None:
        tensor.name = chance.choice(
            ("", "text", "token_ids", "ticket", "nope", "options", "changes", "n" * 1000, "a\nb", "тест")
        )


def _input_twice(request: Any, chance: Chance) -> None:
    if (tensor := _tensor(request, chance)) is not None:
        request.inputs.add().CopyFrom(tensor)
        if request.raw_input_contents:
            request.raw_input_contents.append(request.raw_input_contents[0])


def _input_missing(request: Any, chance: Chance) -> None:
    if request.inputs:
        place = chance.randrange(len(request.inputs))
        del request.inputs[place]
        if place < len(request.raw_input_contents):
            del request.raw_input_contents[place]


def _outputs(request: Any, chance: Chance) -> None:
    for _ in range(chance.choice((1, 1, 2, 500))):
        request.outputs.add(
            name=chance.choice(("ids", "scores", "attention", "ticket", "details", "frame_vectors", "", "x" * 99))
        )


def _model(request: Any, chance: Chance) -> None:
    request.model_name = chance.choice(NAMES)


def _version_and_id(request: Any, chance: Chance) -> None:
    request.model_version = chance.choice(("", "1", "2", "-1", "1" * 100, "latest"))
    request.id = chance.choice(("", "id", "\n", "i" * 256, "i" * 257, "i" * 100_000))


def _typed(request: Any, chance: Chance) -> None:
    """Typed contents in the place of raw ones, of the right field or another, or beside them."""
    if chance.random() < 0.8:
        del request.raw_input_contents[:]
    for tensor in request.inputs:
        field = getattr(tensor.contents, chance.choice(_FIELDS))
        size = chance.choice((0, 1, 12, 3000))
        field.extend([chance.choice((0, 1))] * size)
        if chance.random() < 0.1:
            tensor.contents.bytes_contents.extend([b"", b"x" * 100])


def _tensor(request: Any, chance: Chance) -> Any:
    return chance.choice(request.inputs) if request.inputs else None


MUTATIONS: Sequence[Mutation] = (
    *(_one_size, _one_size_everywhere, _all_sizes, _bytes, _values, _fewer_or_more_bytes, _datatype, _parameter),
    *(_input_renamed, _input_twice, _input_missing, _outputs, _model, _version_and_id, _typed),
)
