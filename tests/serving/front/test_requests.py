"""What a request may ask for: everything that doesn't fit is refused in our own words, before any model sees it."""

from __future__ import annotations

import math
import random
from typing import Any

import numpy as np
import pytest
from google.protobuf.message import DecodeError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tritonclient.grpc import service_pb2 as pb

from framesift.export.bundle.errors import InvalidRequest, InvalidVideo
from framesift.export.bundle.models import MAX_VIDEO
from framesift.export.bundle.video.limits import VideoLimits
from framesift.serving.front.deployment import public_models
from framesift.serving.front.requests import read_request, read_tensors
from framesift.serving.repository.render import reference_manifest

from .requests_of import request, search

PUBLIC = public_models(reference_manifest())


def check(made: Any) -> list[bytes]:
    asked = read_request(made, PUBLIC[made.model_name])
    return read_tensors(made, asked)


def changed(**arrays: np.ndarray) -> Any:
    return request("search", {**search(), **arrays})


def without_bytes(shape: list[int]) -> Any:
    """A search whose text has a shape that its bytes do not."""
    made = request("search", search())
    del made.inputs[0].shape[:]
    made.inputs[0].shape.extend(shape)
    return made


def twice() -> Any:
    made = request("search", search())
    made.inputs[2].CopyFrom(made.inputs[1])
    return made


def parameter(where: str, key: str) -> Any:
    made = request("search", search(), outputs=[{"name": "scores"}])
    parts = {"request": made, "input": made.inputs[0], "output": made.outputs[0]}
    parts[where].parameters[key].int64_param = 1
    return made


REFUSED = {
    "unknown-input": (lambda: changed(colour=np.zeros((1, 1), np.int32)), "no input 'colour'; it has text"),
    "missing-input": (lambda: request("search", {"text": search()["text"]}), "needs the inputs text_length, top"),
    "input-twice": (twice, "text_length comes twice"),
    "dtype": (lambda: changed(top=np.zeros((1, 1), np.int64)), "data-type 'INT64', search takes INT32"),
    "rank": (lambda: changed(text=np.zeros(4, np.uint8)), r"\[4\], search takes \[batch size, text bytes\]"),
    "fixed-size": (lambda: changed(top=np.zeros((1, 2), np.int32)), r"takes \[batch size, 1\]"),
    "two-batches": (lambda: changed(top=np.zeros((2, 1), np.int32)), r"\[2, 1\]"),
    "no-batch": (lambda: request("search", search((b"",) * 1) | _empty()), "a batch of 1 to 32 rows, text has 0"),
    "large-batch": (lambda: request("search", search((b"a",) * 33)), "a batch of 1 to 32 rows, text has 33"),
    "negative": (lambda: without_bytes([1, -1]), r"\[1, -1\]"),
    "wraps": (lambda: without_bytes([1, 1 << 62]), "has the shape"),
    "wraps-to-zero": (lambda: without_bytes([1, (1 << 31) + 1]), "has the shape"),
    "huge": (lambda: without_bytes([1, 1 << 31]), "2147483656 bytes, the limit is"),
    "lying": (lambda: without_bytes([1, 11]), "11 bytes, and 12 were sent"),
    "unknown-output": (lambda: request("search", search(), outputs=[{"name": "x"}]), "no output 'x'; it has ids"),
    "output-twice": (lambda: request("search", search(), outputs=[{"name": "ids"}] * 2), "asked for twice"),
    "id": (lambda: request("search", search(), id="x" * 257), "257 characters"),
    **{
        key: (lambda key=key, where=where: parameter(where, key), f"takes no parameter '{key}'")
        for key, where in {
            "sequence_id": "request",
            "priority": "request",
            "timeout": "request",
            "anything": "request",
            "shared_memory_region": "input",
            "classification": "output",
        }.items()
    },
}


def _empty() -> dict[str, np.ndarray]:
    return {name: np.zeros((0, array.shape[1]), array.dtype) for name, array in search().items()}


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_fit_is_refused_by_name(name: str) -> None:
    make, said = REFUSED[name]
    with pytest.raises(InvalidRequest, match=said):
        check(make())


def test_what_fits_is_read() -> None:
    arrays = search((b"one", b"another"), top=5)
    made = request("search", arrays, id="mine", outputs=[{"name": "scores"}])
    asked = read_request(made, PUBLIC["search"])
    assert (asked.id, asked.outputs, asked.shape("text")) == ("mine", ("scores",), (2, 7))
    assert read_tensors(made, asked) == [array.tobytes() for array in arrays.values()]
    always = tuple(name for name, port in PUBLIC["search"].outputs.items() if not port.optional)
    assert read_request(request("search", arrays), PUBLIC["search"]).outputs == always


@pytest.mark.parametrize("name", ["index_video", "encode_video"])
def test_the_largest_video_is_what_the_limits_say(name: str) -> None:
    def video(size: int) -> Any:
        made = request(name, dict.fromkeys(PUBLIC[name].inputs, np.zeros((1, 32), np.uint8)))
        next(tensor for tensor in made.inputs if tensor.name == "video").shape[1] = size
        return made

    for size in (1 << 20, 512 << 20):
        public = public_models(reference_manifest(), VideoLimits(max_bytes=size))[name]
        assert public.parameters[MAX_VIDEO] == str(size)
        assert read_request(video(size), public).shape("video") == (1, size)
        with pytest.raises(InvalidVideo, match=f"the limit is {size}.*serve --video-limit bytes={size + 1}"):
            read_request(video(size + 1), public)


def test_sizes_of_one_name_are_one_size() -> None:
    ports = PUBLIC["score_text"].inputs
    arrays = {name: np.zeros([2 if d == -1 else d for d in port.shape], np.float32) for name, port in ports.items()}
    arrays["text"], arrays["text_length"] = np.zeros((3, 4), np.uint8), np.zeros((3, 1), np.int32)
    assert len(check(request("score_text", arrays))) == 4
    arrays["gram_table"] = arrays["gram_table"][:1]
    with pytest.raises(InvalidRequest, match="gram_table has the shape"):
        check(request("score_text", arrays))


def typed(**contents: Any) -> Any:
    """A search whose tensors are in typed fields."""
    made = request("search", search())
    del made.raw_input_contents[:]
    made.inputs[0].contents.uint_contents.extend(search()["text"].ravel().tolist())
    made.inputs[1].contents.int_contents.append(12)
    made.inputs[2].contents.int_contents.append(3)
    for field, values in contents.items():
        made.inputs[0].contents.ClearField("uint_contents")
        getattr(made.inputs[0].contents, field).extend(values)
    return made


def test_typed_contents_are_converted() -> None:
    assert check(typed()) == [array.tobytes() for array in search().values()]


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (typed(int_contents=[1] * 12), "belong into uint_contents"),
        (typed(uint_contents=[256] * 12), "holds values that UINT8 does not"),
        (typed(uint_contents=[1] * 11), "11 were sent"),
    ],
    ids=["field", "range", "count"],
)
def test_typed_contents_that_do_not_fit_are_refused_by_name(made: Any, said: str) -> None:
    with pytest.raises(InvalidRequest, match=said):
        check(made)


def test_tensors_in_both_forms_are_refused() -> None:
    made = typed()
    made.raw_input_contents.extend(array.tobytes() for array in search().values())
    with pytest.raises(InvalidRequest, match="not as both"):
        check(made)


SIZES = st.one_of(
    st.integers(0, 40), st.integers(-(1 << 63), (1 << 63) - 1), st.sampled_from([1 << 31, 1 << 32, 1 << 61])
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    shapes=st.lists(st.lists(SIZES, max_size=5), min_size=3, max_size=3), raw=st.lists(st.integers(0, 200), max_size=4)
)
def test_whatever_is_accepted_has_the_bytes_of_its_shapes(shapes: list[list[int]], raw: list[int]) -> None:
    made = request("search", search())
    for tensor, shape in zip(made.inputs, shapes, strict=True):
        del tensor.shape[:]
        tensor.shape.extend(shape)
    del made.raw_input_contents[:]
    made.raw_input_contents.extend(bytes(size) for size in raw)
    try:
        tensors = check(made)
    except InvalidRequest:
        return
    for tensor, bytes_ in zip(made.inputs, tensors, strict=True):
        itemsize = {"UINT8": 1, "INT32": 4}[tensor.datatype]
        assert math.prod(tensor.shape) * itemsize == len(bytes_)
        assert min(tensor.shape) >= 0


@pytest.mark.parametrize("seed", range(10))
def test_damaged_requests_are_refused_and_nothing_else(seed: int) -> None:
    random_ = random.Random(seed)
    whole = request("search", search((b"a red circle", b"blue")), id="x").SerializeToString()
    refused = accepted = 0
    for _ in range(200):
        raw = bytearray(whole)
        for _ in range(random_.choice((1, 3, 10))):
            raw[random_.randrange(len(raw))] = random_.randrange(256)
        try:
            made = pb.ModelInferRequest.FromString(bytes(raw))
            if made.model_name in PUBLIC:
                assert sum(map(len, check(made))) < len(whole)
                accepted += 1
        except (DecodeError, InvalidRequest):
            refused += 1
    assert refused > 20
    assert accepted > 5
