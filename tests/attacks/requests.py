"""Requests for every model and ensemble, right ones and wrong ones, the same ones for the same seed."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from tritonclient.grpc import service_pb2 as pb
from tritonclient.utils import triton_to_np_dtype

from framesift.export.bundle.errors import InvalidRequest
from framesift.export.bundle.models import GALLERY_LIST
from framesift.export.bundle.packing import pack_joined, pack_rows
from framesift.export.bundle.ports import CHANGE_LENGTHS, CHANGES, ID, ID_LENGTHS, IDS, TEXT, TEXT_LENGTH, TOP, VIDEO
from framesift.serving.front.cursors import mark as mark_of_query
from framesift.serving.front.public import Public
from framesift.serving.search.options import Options
from framesift.serving.search.paging import mark_of, page_mark
from framesift.serving.search.past import Cursor

from .mutations import MUTATIONS, Chance

_TEXTS = ("a red circle", "ein großer Kreis", "&nbsp;", "圆 moves left", "a\0b", "🟥" * 30, "word " * 400, "'; --", " ")

# What becomes of videos that are not there.
_CHANGES = (
    *(b'{"delete": true}', b'{"metadata": {"a": 1}}', b'{"merge": {"a": null}}', b'{"delete": false}', b"{}", b"[]"),
    *(b"", b"\xff", b"[" * 5000, b'{"metadata": {"a": NaN}}', b'{"metadata": {"a": "' + b"x" * 70_000 + b'"}}'),
)
CURSORS = (
    "",
    "A",
    "AQgAAAAAAAAAAgAAAGxpc3QgICAgeJxjYDBgAAEAASgAMQ",
    "eJxjYDBgAAEAASgAMQ" * 20,
    "x" * 60_000,
    "é",
    "\0",
)
FILTERS = (
    *("duration < 30", "not (id = 'a' or source exists)", "nope = 1", "duration = 'x'", "id = 'a' -- x", "1 = 1"),
    *("id in (" + "'a'," * 500 + "'b')", "id = '" + "x" * 5000 + "'", " or ".join(["id exists"] * 40), "id < 1e999"),
    *("", "(" * 4000, "not " * 1000 + "id exists", "a.b.c.d.e.f = 1", "id = '\0'", "`" * 50, "__import__('os')"),
    *("\u202e = 1", "id ="),
)
_FLAGS = (True, False, 1, "true")
# Values of every parameter that a model takes; a third of the requests have each.
_OPTIONS: Mapping[str, Sequence[bool | int | float | str]] = {
    **dict.fromkeys(("facts", "include", "partial", "segments"), _FLAGS),
    "top": (1, 5, 1000, 0, -1, 1 << 40, True, "5"),
    "after": CURSORS,
    "where": FILTERS,
    "min_score": (0.1, 0, -5, float("nan"), float("inf"), "0.5", 1 << 60),
    "offset": (0, 1, 4095, 4096, -1, 1 << 62, 1.5),
    "like": ("v1 0", "id 1", "absent", "", "' or id = 'v1 0", "\0", "\u3164", "x" * 5000, "\ud7ff", 5),
    "segment": (0, 1, 4095, 4096, -1, 1 << 62, 0.5, True, "0"),
    "weight": (0.3, 0, 1, -0.1, 1.1, float("nan"), float("inf"), 1 << 60, True, "x"),
}


class Requests:
    """Makes ModelInferRequests.

    Attributes:
        tried: how many were made for each model, before what was made wrong of them.

    Args:
        publics: what clients may call, by name.
        videos: files by the id under which the gallery has them: ``target.SENT`` clips.
        model: the fingerprint of what is served.
    """

    def __init__(self, publics: Mapping[str, Public], videos: Mapping[str, bytes], model: str) -> None:
        self._model = model
        self.tried: Counter[str] = Counter()
        self._publics = list(publics.values())
        self._videos = list(videos.items())

    def message(self, chance: Chance) -> bytes:
        """One request, encoded: a third are right, the others are wrong in one to three ways or as bytes."""
        public = chance.choice(self._publics)
        self.tried[public.name] += 1
        made = self.right(chance, public)
        for _ in range(chance.choice((0, 0, 1, 1, 1, 2, 3))):
            chance.choice(MUTATIONS)(made, chance)
        raw: bytes = made.SerializeToString()
        return broken(raw, chance) if chance.random() < 0.05 else raw

    def right(self, chance: Chance, public: Public) -> Any:
        """A request of which only the values may be such that the model refuses it."""
        made = pb.ModelInferRequest(model_name=public.name)
        for name, array in self._arrays(chance, public).items():
            made.inputs.add(name=name, datatype=public.inputs[name].datatype, shape=array.shape)
            made.raw_input_contents.append(array.tobytes())
        given = {name: chance.choice(_OPTIONS[name]) for name in sorted(public.takes) if chance.random() < 0.3}
        if "after" in given and chance.random() < 0.5:
            del given["after"]
            given["after"] = forged_cursor(chance, given, made, self._model)
        for name, value in given.items():
            set_parameter(made.parameters[name], value)
        return made

    def _arrays(self, chance: Chance, public: Public) -> dict[str, np.ndarray[Any, Any]]:
        rows = chance.randint(1, min(public.max_batch, 4)) if public.max_batch else chance.randint(1, 3)
        numbers = np.random.default_rng(chance.getrandbits(32))
        sizes: dict[str, int] = {}
        arrays = {}
        for name, port in public.inputs.items():
            shape = [dim if isinstance(dim, int) else sizes.setdefault(dim, rows) for dim in port.dims]
            arrays[name] = _values(numbers, shape, triton_to_np_dtype(port.datatype))
        if TEXT in arrays:
            texts = [chance.choice(_TEXTS).encode() for _ in range(rows)]
            arrays[TEXT], arrays[TEXT_LENGTH] = pack_rows(texts), np.array([[len(text)] for text in texts], np.int32)
        if TOP in arrays:
            arrays[TOP] = np.full((rows, 1), chance.choice((1, 3, 10, 1000)), np.int32)
        if IDS in arrays:
            ids = [f"id {chance.randrange(100)}".encode() for _ in range(rows)]
            arrays[IDS], arrays[ID_LENGTHS] = pack_joined(ids)
        if CHANGES in arrays:
            changes = [chance.choice(_CHANGES) for _ in range(rows)]
            arrays[CHANGES], arrays[CHANGE_LENGTHS] = pack_joined(changes)
        if VIDEO in arrays:
            id_, video = chance.choice(self._videos)
            if chance.random() < 0.95:
                video = broken(video[: chance.choice((0, 100, 5000))], chance) or b"\0"
            arrays[VIDEO] = np.frombuffer(video, np.uint8)[None]
            if ID in arrays:
                arrays.update({name: pack_rows([b"{}"]) for name in arrays if name not in (VIDEO, "digest")})
                arrays[ID] = pack_rows([id_.encode()])
        return arrays


def forged_cursor(chance: Chance, given: Mapping[str, Any], made: Any, model: str) -> str:
    """A cursor that nobody was given, with the marks of its request or its list: whoever knows how can make one."""
    try:
        options = Options(**given)
    except (InvalidRequest, OverflowError):
        options = Options()
    listed = made.model_name == GALLERY_LIST
    mark = mark_of("list", options.where, model) if listed else page_mark(options, [], model)
    raw = dict(zip((tensor.name for tensor in made.inputs), made.raw_input_contents, strict=True))
    text = raw[TEXT][: int.from_bytes(raw[TEXT_LENGTH][:4], "little")].decode() if TEXT in raw else None
    return marked_cursor(chance, mark, text)


def marked_cursor(chance: Chance, mark: bytes, text: str | None) -> str:
    """A cursor with this mark, mostly of this text, that begins anywhere."""
    before = "" if text is None or chance.random() < 0.1 else mark_of_query(text.encode())
    version = chance.choice((0, 1, 20, 24, 25, 26, 30, 100, -1, 1 << 40, -(1 << 63)))
    shown = chance.choice(((), (0,), (1 << 20, 2 << 20), (1 << 62,), range(4096), range(5000), ((1 << 63) - 1,)))
    top = chance.choice((0, 1, 10, 4096, 1 << 31))
    return before + Cursor(version, mark, top, np.array(shown, np.int64)).text()


def set_parameter(parameter: Any, value: bool | float | str) -> None:
    """Give a request's parameter a value of its own type."""
    kinds = {bool: "bool_param", int: "int64_param", float: "double_param", str: "string_param"}
    setattr(parameter, kinds[type(value)], value)


def broken(raw: bytes, chance: Chance) -> bytes:
    """Bytes with some of them changed, cut off, or in front of others."""
    parts = bytearray(raw)
    how = chance.randrange(4)
    if how == 0 and parts:
        for _ in range(chance.choice((1, 2, 8))):
            parts[chance.randrange(len(parts))] ^= 1 << chance.randrange(8)
    elif how == 1:
        del parts[chance.randrange(len(parts) + 1) :]
    elif how == 2:
        parts += chance.randbytes(chance.choice((1, 10, 1000)))
    else:
        return chance.randbytes(chance.choice((1, 5, 50, 3000)))
    return bytes(parts)


def _values(numbers: np.random.Generator, shape: Sequence[int], dtype: Any) -> np.ndarray[Any, Any]:
    if np.dtype(dtype).kind == "f":
        values = numbers.standard_normal(shape).astype(dtype)
        return values * dtype(numbers.choice((1.0, 0.0, 1e30, np.nan, np.inf))) if numbers.random() < 0.2 else values
    return numbers.integers(0, 255, shape, dtype=np.uint8).astype(dtype)


def chance_of(seed: int, *place: object) -> Chance:
    """The chance of one try, which can be made again by itself."""
    return random.Random(" ".join(map(str, (seed, *place))))
