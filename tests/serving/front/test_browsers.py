"""Pages of others can't call through a reader's browser."""

from __future__ import annotations

from collections.abc import Iterator

import grpc
import pytest

from framesift.export.bundle.errors import AccessDenied
from framesift.export.bundle.store import Bundle
from framesift.serving.front.browsers import Browsers, authorization

from .alone import standing
from .asked_over_http import ask
from .requests_of import framed

SERVICE = "/inference.GRPCInferenceService"
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


def test_what_programs_ask_for_by_any_name_is_refused_to_browsers_alone() -> None:
    led = {b"host": b"evil.example:8001"}
    OPEN.check_if_one("GET", led | {b"user-agent": b"Prometheus/3.0"})
    for said in (b"origin", b"sec-fetch-site", b"accept-language"):
        with pytest.raises(AccessDenied, match="not called 'evil.example'"):
            OPEN.check_if_one("GET", led | {said: b""})
    OPEN.check_if_one("GET", {b"host": HOST, b"sec-fetch-site": b"same-origin", b"accept-language": b"en"})


@pytest.fixture(scope="module")
def door(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with standing(bundle.root, tmp_path_factory.mktemp("run")) as (address, _):
        yield address


def over_grpc(address: str, *metadata: tuple[str, str], authority: str = "") -> str:
    """How a call of gRPC ends."""
    named = [("grpc.default_authority", authority)] if authority else []
    with grpc.insecure_channel(address, named) as channel:
        try:
            channel.unary_unary(f"{SERVICE}/ServerMetadata")(b"", timeout=60, metadata=metadata)
        except grpc.RpcError as refused:
            return str(refused.code().name)
    return "OK"


def test_grpc_is_refused_to_pages_of_others_and_to_nobody_else(door: str) -> None:
    port = door.rpartition(":")[2]
    led = f"evil.example:{port}"
    # HTTP/2 names the host otherwise, and the door knows it all the same.
    assert over_grpc(door) == over_grpc(door, authority="framesift.default.svc") == "OK"
    assert over_grpc(door, ("sec-fetch-site", "same-origin"), ("origin", f"http://{door}")) == "OK"
    for metadata, authority in (
        ([("origin", f"http://{led}")], led),
        ([("sec-fetch-site", "same-origin")], led),
        ([("accept-language", "en")], led),
        ([("origin", "http://evil.example")], ""),
        ([("sec-fetch-site", "cross-site")], ""),
    ):
        assert over_grpc(door, *metadata, authority=authority) == "PERMISSION_DENIED", (metadata, authority)


def test_grpcs_content_type_lets_no_page_in_over_http_either(door: str) -> None:
    path, kind = f"{SERVICE}/ServerMetadata", "application/grpc"
    led = {"Host": "evil.example", "Content_Type": kind}
    assert b"framesift" in ask(door, path, framed(b""), Content_Type=kind).body
    assert b"framesift" not in ask(door, path, framed(b""), Origin="http://evil.example", **led).body
    # A page's GET says no origin, and gRPC has none.
    assert ask(door, path, **led).status == 404


@pytest.mark.parametrize(
    "path", ["/metrics", "/v2", "/v2/models/search/config", "/v2/models/search/ready", "/v2?model=x"]
)
def test_a_page_that_was_led_here_reads_nothing(door: str, path: str) -> None:
    led = {"Host": "evil.example", "Accept_Language": "en", "Accept": "*/*"}
    assert ask(door, path, **led).status == 403
    assert ask(door, path, Host="evil.example").status != 403
    assert ask(door, path, Accept_Language="en", Sec_Fetch_Site="same-origin").status != 403
    assert ask(door, path, Sec_Fetch_Site="cross-site").status == 403


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
