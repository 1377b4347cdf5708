"""Pages of others can't call through a reader's browser."""

from __future__ import annotations

import pytest

from framesift.export.bundle.errors import AccessDenied
from framesift.serving.front.browsers import Browsers, authorization

HOST = b"127.0.0.1:8001"
OPEN, CLOSED = Browsers(frozenset({"films.example"}), known=False), Browsers(frozenset(), known=True)


@pytest.mark.parametrize(
    "headers",
    [
        {b"host": HOST},
        {b"host": b"localhost"},
        {b"host": b"LOCALHOST:8001"},
        {b"host": b"[::1]:8001"},
        {b"host": b"films.example:443", b"origin": b"https://films.example:443"},
        {b"host": HOST, b"origin": b"http://127.0.0.1:8001", b"sec-fetch-site": b"same-origin"},
        {b"host": HOST, b"sec-fetch-site": b"none"},
    ],
)
def test_ones_own_page_and_programs_may_call(headers: dict[bytes, bytes]) -> None:
    OPEN.check("POST", headers)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {b"host": b"evil.example:8001"},
        {b"host": b"evil.example:8001", b"origin": b"http://evil.example:8001"},
        {b"host": b"127.0.0.1.evil.example"},
        {b"host": b"evil.example."},
        {b"host": HOST, b"origin": b"http://evil.example"},
        {b"host": HOST, b"origin": b"null"},
        {b"host": HOST, b"origin": b"http://127.0.0.1:9000"},
        {b"host": HOST, b"sec-fetch-site": b"cross-site"},
        {b"host": HOST, b"sec-fetch-site": b"same-site"},
        {b"host": HOST, b"sec-fetch-site": b"cross-site", b"sec-fetch-mode": b"navigate"},
    ],
)
def test_pages_of_others_may_not(headers: dict[bytes, bytes]) -> None:
    with pytest.raises(AccessDenied):
        OPEN.check("POST", headers)


def test_others_may_link_to_the_page_and_to_nothing_else() -> None:
    linked = {b"host": HOST, b"sec-fetch-site": b"cross-site", b"sec-fetch-mode": b"navigate"}
    OPEN.check("GET", linked, page=True)
    for method, page in (("GET", False), ("POST", True)):
        with pytest.raises(AccessDenied):
            OPEN.check(method, linked, page=page)


def test_where_callers_need_tokens_any_name_will_do() -> None:
    CLOSED.check("POST", {b"host": b"search.example"})
    with pytest.raises(AccessDenied):
        CLOSED.check("POST", {b"host": b"search.example", b"origin": b"https://evil.example"})


@pytest.mark.parametrize(
    ("cookie", "wanted"),
    [
        (b"framesift=fs_a-b_c", b"Bearer fs_a-b_c"),
        (b"other=1; framesift=fs_x; more=2", b"Bearer fs_x"),
        (b"framesift=", b"Bearer "),
        (b"", None),
        (b"other=1", None),
        (b"\xff=;;;===", None),
        # The library's reader unpacks these, 32 kB of them in a second in which nobody else is answered.
        (b'framesift="' + b"\\" * 16_000 + b'"', b'Bearer "' + b"\\" * 16_000 + b'"'),
        (b"framesift=" + b'\\"' * 16_000, b"Bearer " + b'\\"' * 16_000),
    ],
)
def test_a_token_may_come_in_a_cookie(cookie: bytes, wanted: bytes | None) -> None:
    assert authorization({b"cookie": cookie}) == wanted
