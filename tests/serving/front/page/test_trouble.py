"""What the page says where something is wrong, and what it keeps."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from framesift.export.bundle.store import Bundle
from framesift.serving.client.sync import Client
from framesift.serving.front.tokens import new_token
from framesift.serving.server.door import Reach

from ....waiting import LIMIT_S
from ..alone import standing
from .conftest import Open
from .looking import found, told, trouble

pytestmark = [pytest.mark.server, pytest.mark.slow, pytest.mark.page]
TEXT = "a large purple triangle moves up"


def test_a_server_that_is_away_is_told(tab) -> None:
    tab.goto("/")
    found(tab)
    tab.route("**/v1/search", lambda route: route.abort())
    tab.fill("#text", TEXT)
    tab.keyboard.press("Enter")
    assert "does not answer" in trouble(tab)
    assert tab.locator(".hit").count() == 0


def test_what_the_server_refuses_is_told(tab) -> None:
    tab.goto(f"/?q={TEXT}&top=2000")
    assert trouble(tab) == "top is 2000, it must lie in 1..1000"


def test_a_page_that_is_refused_leaves_the_hits(tab, client: Client) -> None:
    wanted = [hit.id for hit in client.search(TEXT, 12).hits]
    tab.goto(f"/?q={TEXT}&top=6")
    assert found(tab) == wanted[:6]
    tab.route("**/v1/search", lambda route: route.abort())
    tab.click("#more")
    assert "does not answer" in trouble(tab, "#more-trouble")
    assert (found(tab), tab.inner_text("#more")) == (wanted[:6], "Try again")
    tab.unroute("**/v1/search")
    tab.click("#more")
    told(tab, "12 best")
    assert (found(tab), tab.locator("#more-trouble").is_visible()) == (wanted, False)
    # A cursor that the server takes no more: the real server is asked with another.
    spoilt = re.compile(r'"after":"[^"]+"')
    tab.route(
        "**/v1/search", lambda route: route.continue_(post_data=spoilt.sub('"after":"AbCd"', route.request.post_data))
    )
    tab.click("#more")
    assert "the cursor can't be read" in trouble(tab, "#more-trouble")
    assert (found(tab), tab.inner_text("#more")) == (wanted, "Search again")
    tab.click("#more")
    told(tab, "6 best")
    assert (found(tab), tab.inner_text("#more")) == (wanted[:6], "More hits")


def test_a_token_is_asked_for_and_kept(open_tab: Open, bundle: Bundle, tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    token = new_token(tokens, "reader", ["search"])
    with standing(bundle.root, tmp_path / "run", Reach(tokens=tokens, page=True)) as (address, _):
        page = open_tab(address)
        page.goto("/")
        page.wait_for_selector("#token[open]")
        page.fill("#token-text", "fs_guessed")
        page.keyboard.press("Enter")
        assert "does not know this token" in trouble(page, "#token-trouble")
        page.fill("#token-text", token)
        page.keyboard.press("Enter")
        page.wait_for_selector("#token:not([open])", state="attached")
        kept = page.context.cookies(f"http://{address}/v1/search")
        assert [(each["name"], each["value"], each["httpOnly"]) for each in kept] == [("framesift", token, True)]
        assert page.evaluate("document.cookie") == ""
        # The token is withdrawn while the page is open; a search asks for another, and goes on with it.
        # At once: whoever saw a file without any token might not know the other one yet when it is shown.
        other = new_token(tmp_path / "others", "other", ["search"])
        (tmp_path / "others").replace(tokens)
        page.fill("#text", TEXT)
        deadline = time.monotonic() + LIMIT_S
        while not page.locator("#token[open]").is_visible():
            assert time.monotonic() < deadline
            page.keyboard.press("Enter")
            page.wait_for_timeout(200)
        page.fill("#token-text", other)
        with page.expect_response("**/v1/search") as answer:
            page.keyboard.press("Enter")
        # Nobody answers behind this door, but the caller is known.
        assert answer.value.status == 503
