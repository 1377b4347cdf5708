"""Cursors on their way through the door: each leads to further hits of its own search."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
import pytest

from framesift.export.bundle.errors import InvalidRequest
from framesift.export.bundle.packing import pack_rows
from framesift.export.bundle.ports import DETAILS
from framesift.serving.front.cursors import queries, read_cursor, with_cursors
from framesift.serving.front.upstream import Output, Tensor
from framesift.serving.search.listing import joined

# What only looks like a cursor, in a video's own facts.
FACTS = '{"metadata":{"next":"AAAA","among":5,"a\\"next\\":\\"x":["],\\"next\\":\\"y\\""]}}'


def answered(*texts: str) -> list[Output]:
    rows = pack_rows([text.encode() for text in texts])
    other = Output("scores", "FP32", [len(texts), 1], memoryview(np.zeros((len(texts), 1), np.float32)).cast("B"))
    return [other, Output(DETAILS, "UINT8", list(rows.shape), memoryview(rows).cast("B"))]


def told(outputs: list[Output]) -> list[dict[str, Any]]:
    (output,) = (each for each in outputs if each.name == DETAILS)
    rows = np.frombuffer(output.raw, np.uint8).reshape(tuple(output.shape))
    return [json.loads(row.tobytes().rstrip(b"\0")) for row in rows]


def test_a_cursor_comes_back_as_the_models_gave_it_for_its_own_text_alone() -> None:
    given = [
        joined([FACTS], "hits", next="AQ-_x", among=60),
        joined([], "hits", next=None, among=2),
        joined([FACTS, "null"], "hits", next="BB", among=7, missing=["0/2"]),
    ]
    texts = ["a red circle", "ein großer Kreis", "圆"]
    outputs = answered(*given)
    found = told(with_cursors(outputs, queries(texts)))
    assert [row["hits"] for row in found] == [row["hits"] for row in told(outputs)]
    assert [{k: row[k] for k in row if k not in ("hits", "next")} for row in found] == [
        {"among": 60},
        {"among": 2},
        {"among": 7, "missing": ["0/2"]},
    ]
    assert found[1]["next"] is None
    for place, original in ((0, "AQ-_x"), (2, "BB")):
        options = json.dumps({"facts": True, "after": found[place]["next"]}).encode()
        assert json.loads(read_cursor(options, queries([texts[place]]))) == {"facts": True, "after": original}
        for other in ("", "a red circle ", "圆 ", texts[1]):
            with pytest.raises(InvalidRequest, match="of another search"):
                read_cursor(options, queries([other]))
        with pytest.raises(InvalidRequest, match="of one text"):
            read_cursor(options, queries([texts[place]] * 2))


def test_an_answer_without_a_cursor_is_left_as_it_is() -> None:
    outputs = answered(joined([FACTS], "hits", next=None, among=1))
    assert with_cursors(outputs, queries(["a"])) == outputs
    assert read_cursor(b'{"facts": true}', queries(["a", "b"])) == b'{"facts": true}'


@pytest.mark.parametrize("cursor", ["A", "nonsense", "é", "\0"])
def test_what_is_no_cursor_is_refused(cursor: str) -> None:
    with pytest.raises(InvalidRequest, match="can't be read"):
        read_cursor(json.dumps({"after": cursor}).encode(), queries(["a"]))


def sent(**files: bytes) -> list[Tensor]:
    return [Tensor(name, "UINT8", (1, len(file)), file) for name, file in files.items()]


def test_a_cursor_is_of_what_was_sent_and_of_the_text_beside_it() -> None:
    film, other = sent(video=b"a film", features=b""), sent(video=b"another", features=b"")
    outputs = with_cursors(answered(joined([FACTS], "hits", next="AQ", among=9)), queries(["a"], film))
    options = json.dumps({"after": told(outputs)[0]["next"]}).encode()
    assert json.loads(read_cursor(options, queries(["a"], film))) == {"after": "AQ"}
    # In which order its inputs came, and whether they lie in shared memory, makes no difference.
    stored = [tensor._replace(raw=b"", digest=hashlib.sha256(tensor.raw).digest(), size=6) for tensor in film[::-1]]
    assert queries(["a"], stored) == queries(["a"], film)
    for texts, files in (
        (["a"], other),
        (["b"], film),
        (["a"], []),
        ([], film),
        (["a"], sent(video=b"", features=b"")),
    ):
        with pytest.raises(InvalidRequest, match="of another search: text, video"):
            read_cursor(options, queries(texts, files))
    # A film alone has a mark, too, and the models know which film of the gallery is searched with.
    assert len(queries([], film)) == 1
    assert queries([], film) != queries([], other)
    assert queries([]) == []
