"""Parameters of requests at the door: what becomes options, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from framesift.export.bundle.errors import AccessDenied, InvalidRequest
from framesift.export.bundle.models import GALLERY_EDIT, GALLERY_LIST, GALLERY_LOOKUP, SEARCH, SEARCH_LIKE
from framesift.serving.front.describing import config, metadata
from framesift.serving.front.json_requests import read_request as read_json
from framesift.serving.front.options import options_tensor
from framesift.serving.front.requests import read_request
from framesift.serving.front.tokens import INDEX, Caller
from framesift.serving.front.tokens import SEARCH as SEARCH_ROLE
from framesift.serving.search.options import Options

from .requests_of import request, search
from .test_requests import PUBLIC


def asked(model: str, arrays: dict[str, np.ndarray] | None = None, **parameters: Any) -> Any:
    made = request(model, search() if arrays is None else arrays)
    for name, value in parameters.items():
        kind = {bool: "bool_param", int: "int64_param", float: "double_param", str: "string_param"}[type(value)]
        setattr(made.parameters[name], kind, value)
    return read_request(made, PUBLIC[model])


def test_a_plain_search_is_what_it_was() -> None:
    plain = asked(SEARCH)
    assert (plain.options, "details" in plain.outputs) == (b"", False)
    told = metadata(PUBLIC[SEARCH]), config(PUBLIC[SEARCH])
    assert not any("details" in json.dumps(each) or "options" in json.dumps(each) for each in told)
    found = PUBLIC[SEARCH]
    assert (found.upstream, found.detailed, found.named) == ("search_ids", "search_details", "search_named")


def test_parameters_become_options() -> None:
    found = asked(SEARCH, facts=True)
    assert Options(**json.loads(found.options)) == Options(facts=True)
    assert "details" in found.outputs
    assert asked(SEARCH, facts=True).options == found.options
    # As if it were not there.
    assert asked(SEARCH, facts=False).options == b"{}"
    given = {"where": "duration < 30", "min_score": 0.25, "offset": 3}
    assert Options(**json.loads(asked(SEARCH, **given).options)) == Options(**given)
    assert Options(**json.loads(asked(SEARCH, min_score=1).options)).min_score == 1.0
    listed = asked(GALLERY_LIST, {}, top=5)
    assert Options(**json.loads(listed.options)) == Options(list=True, top=5)
    tensor = options_tensor(found.options, 3)
    assert len(tensor.raw) == int(np.prod(tensor.shape)) == 3 * len(found.options)
    read = {"options": np.frombuffer(tensor.raw, np.uint8).reshape(tuple(tensor.shape))}
    assert Options.of(read) == Options(facts=True)


def test_json_has_the_same_parameters() -> None:
    body = {"inputs": [], "parameters": {"facts": True, "top": 3}}
    made, _ = read_json(GALLERY_LIST, "", json.dumps(body).encode(), None)
    with pytest.raises(InvalidRequest, match="no parameter 'facts'; gallery_list takes after, top, where"):
        read_request(made, PUBLIC[GALLERY_LIST])
    del made.parameters["facts"]
    assert Options(**json.loads(read_request(made, PUBLIC[GALLERY_LIST]).options)).top == 3
    for value in (None, [], {}, "3", 2**70):
        body = {"parameters": {"top": value}}
        with pytest.raises(InvalidRequest):
            read_request(read_json(GALLERY_LIST, "", json.dumps(body).encode(), None)[0], PUBLIC[GALLERY_LIST])


@pytest.mark.parametrize(
    ("model", "parameters", "fault"),
    [
        (SEARCH, {"facts": 1}, "facts is int, it must be bool"),
        (SEARCH, {"facts": "true"}, "facts is str"),
        (SEARCH, {"where": "duration <"}, "the filter at character 11"),
        (SEARCH, {"where": "(" * 4000}, "more than 32 deep"),
        (SEARCH, {"where": True}, "where is bool, it must be a text"),
        (SEARCH, {"where": ""}, "the filter is empty: write one"),
        (GALLERY_LIST, {"where": " "}, "the filter is empty: write one"),
        (SEARCH, {"min_score": "0.5"}, "min_score is str"),
        (SEARCH, {"min_score": float("nan")}, "not a number"),
        (SEARCH, {"offset": 5000}, "offset is 5000"),
        (SEARCH_LIKE, {"like": "film", "segment": -7}, "segment is -7: it is the number of a segment, from 0"),
        (SEARCH_LIKE, {"like": "film", "segment": -1}, "segment is -1: it is the number of a segment, from 0"),
        (SEARCH, {"offset": 1, "after": "x"}, "without an offset"),
        (GALLERY_LIST, {"min_score": 0.5}, "no parameter 'min_score'"),
        (SEARCH, {"list": True}, "no parameter 'list'"),
        (SEARCH, {"x" * 300: True}, "no parameter 'x"),
        (GALLERY_EDIT, {"facts": True}, "no parameter 'facts'$"),
        (GALLERY_LIST, {"top": 0}, "top is 0"),
        (GALLERY_LIST, {"top": 1001}, "top is 1001"),
        (GALLERY_LIST, {"top": True}, "top is bool"),
        (GALLERY_LIST, {"after": "x" * 60_000}, "60000 characters"),
    ],
)
def test_what_is_no_option_is_refused(model: str, parameters: dict, fault: str) -> None:
    ids = {"ids": np.zeros(0, np.uint8), "id_lengths": np.zeros(0, np.int32)}
    made = {"changes": np.zeros(0, np.uint8), "change_lengths": np.zeros(0, np.int32)}
    arrays = {
        SEARCH: search(),
        SEARCH_LIKE: {"top": np.array([[3]], np.int32)},
        GALLERY_EDIT: {**ids, **made},
        GALLERY_LIST: {},
    }[model]
    with pytest.raises(InvalidRequest, match=fault):
        asked(model, arrays, **parameters)


def test_details_are_asked_for_by_a_parameter() -> None:
    made = request(SEARCH, search(), outputs=[{"name": "details"}])
    with pytest.raises(InvalidRequest, match="no output 'details' without parameters"):
        read_request(made, PUBLIC[SEARCH])
    made.parameters["facts"].bool_param = True
    assert read_request(made, PUBLIC[SEARCH]).outputs == ("details",)


@pytest.mark.parametrize("raw", [b"", b"[]", b'{"facts": 1}', b'{"colour": true}', b"\xff", b"[" * 100_000])
def test_options_that_nobody_wrote_are_refused_behind_the_door_too(raw: bytes) -> None:
    with pytest.raises(InvalidRequest):
        Options.of({"options": np.frombuffer(raw, np.uint8)})


def test_whoever_searches_may_read_and_whoever_indexes_may_write() -> None:
    searcher, indexer = Caller("s", frozenset({SEARCH_ROLE})), Caller("i", frozenset({INDEX}))
    for model in (GALLERY_LOOKUP, GALLERY_LIST):
        searcher.check(PUBLIC[model].roles, model)
        indexer.check(PUBLIC[model].roles, model)
    indexer.check(PUBLIC[GALLERY_EDIT].roles, GALLERY_EDIT)
    with pytest.raises(AccessDenied, match="takes the role admin or index"):
        searcher.check(PUBLIC[GALLERY_EDIT].roles, GALLERY_EDIT)
    # What changes videos is no input of what whoever searches may call.
    assert not {"changes", "options"} & PUBLIC[GALLERY_LOOKUP].inputs.keys()
