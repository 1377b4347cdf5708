"""Forms with files come out as they went in, however their bytes arrive; what is no form is refused."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from framesift.export.bundle.errors import InvalidRequest
from framesift.serving.front.v1.multipart import _PARAMETER, Multipart

BOUNDARY = b"------made-up-7"
KIND = b"multipart/form-data; boundary=" + BOUNDARY


def form(parts: list[tuple[str, str | None, bytes]]) -> bytes:
    """A form as a browser writes it."""
    written = b""
    for name, filename, data in parts:
        told = f'form-data; name="{name}"' + ("" if filename is None else f'; filename="{filename}"')
        written += b"--" + BOUNDARY + b"\r\nContent-Disposition: " + told.encode() + b"\r\n\r\n" + data + b"\r\n"
    return written + b"--" + BOUNDARY + b"--\r\n"


def read(body: bytes, cuts: list[int], kind: bytes = KIND) -> list[tuple[str, str | None, bytes]]:
    async def arriving() -> AsyncIterator[bytes]:
        edges = sorted({0, len(body), *(cut % (len(body) + 1) for cut in cuts)})
        for start, end in itertools.pairwise(edges):
            yield body[start:end]

    async def parts() -> list[tuple[str, str | None, bytes]]:
        found, reader = [], Multipart(arriving(), kind)
        while (part := await reader.next()) is not None:
            found.append((part.name, part.filename, b"".join([piece async for piece in reader.data()])))
        return found

    return asyncio.run(parts())


# Bytes of which boundaries are made come often, so that data comes close to holding one.
DATA = st.lists(st.sampled_from([b"\r", b"\n", b"-", BOUNDARY[:-1], b"\r\n--", b"a", b"\0\xff"]), max_size=12).map(
    b"".join
)
PARTS = st.lists(st.tuples(st.sampled_from(["video", "id"]), st.none() | st.just("a b.mp4"), DATA), max_size=4)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(PARTS, st.lists(st.integers(0, 10_000), max_size=30))
def test_parts_come_out_as_they_went_in(parts: list[tuple[str, str | None, bytes]], cuts: list[int]) -> None:
    assert read(form(parts), cuts) == parts


def test_names_are_read_as_browsers_write_them() -> None:
    body = form([("video", "a %22b%22.mp4", b"x")])
    assert read(body, [], b'Multipart/Form-Data; charset=x; boundary="' + BOUNDARY + b'"') == [
        ("video", 'a "b".mp4', b"x")
    ]


@pytest.mark.parametrize(
    ("told", "wanted"),
    [
        # .NET's MultipartFormDataContent.
        ("name=video; filename=a.mp4; filename*=utf-8''a.mp4", ("video", "a.mp4")),
        ('NAME = "video" ;filename="a.mp4"', ("video", "a.mp4")),
        ('name=video; filename="a \\"b\\" \\\\ c.mp4"', ("video", 'a "b" \\ c.mp4')),
        # As browsers write what Windows calls a file.
        ('name="video"; filename="C:\\films\\a.mp4"', ("video", "C:\\films\\a.mp4")),
        ('filename="; name=other"; name=video', ("video", "; name=other")),
        ('x="; name=other"; name=video', ("video", None)),
        ('name="video"; filename=""', ("video", "")),
    ],
)
def test_names_may_be_tokens_and_have_escapes(told: str, wanted: tuple[str, str | None]) -> None:
    body = form([("a", None, b"x")]).replace(b'name="a"', told.encode())
    assert read(body, []) == [(*wanted, b"x")]


@pytest.mark.parametrize("head", [b";", b"; ", b';a="', b';a="\\', b"; a ", b"a=;", b';a="\\"'])
def test_a_head_of_any_kind_is_read_in_no_time(head: bytes) -> None:
    """In a time that is quadratic in its length the test would not end."""
    for line in (head * ((1 << 22) // len(head)), head[:1] + head[1:2] * (1 << 22)):
        assert b"name" not in dict(found[:2] for found in _PARAMETER.findall(line))


@pytest.mark.parametrize(
    ("body", "kind", "said"),
    [
        (form([("a", None, b"x")])[:-8], KIND, "ends within"),
        (b"", KIND, "ends within"),
        (b"nothing of the kind", KIND, "does not begin"),
        (b"before" + form([("a", None, b"x")]), KIND, "does not begin"),
        (form([("a", None, b"x")]), b"multipart/form-data", "names no boundary"),
        (b"--" + BOUNDARY + b"\r\nX: y\r\n\r\nx\r\n--" + BOUNDARY + b"--", KIND, "no Content-Disposition"),
        (b"--" + BOUNDARY + b"\r\nContent-Disposition: form-data\r\n\r\nx", KIND, "no name"),
        (b"--" + BOUNDARY + b"\r\n" + b"X: y\r\n" * 9000, KIND, "headers of more"),
        (form([("a", None, b"")] * 17), KIND, "more than 16 parts"),
        (form([("a", None, b"")]).replace(b'"a"', b'"\xff"'), KIND, "not UTF-8"),
    ],
)
def test_what_is_no_form_is_refused(body: bytes, kind: bytes, said: str) -> None:
    with pytest.raises(InvalidRequest, match=said):
        read(body, [], kind)
