"""Chromium, and its tabs before a real server. `make test-page` brings it, Playwright and packages of npm's."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ....waiting import LIMIT_S

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
MODULES = Path(__file__).parents[4] / "work" / "browser" / "node_modules"

# As root there is no sandbox; and /dev/shm, which is small in containers, is the server's.
ARGUMENTS = ["--no-sandbox", "--disable-dev-shm-usage"]

Open = Callable[..., Any]


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    assert CHROMIUM is not None, "there is no Chromium: make test-page"
    with sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS, timeout=LIMIT_S * 1000)
        yield opened
        opened.close()


@pytest.fixture
def open_tab(browser) -> Iterator[Open]:
    """Opens a tab that has not been anywhere, before a server; what its console says of errors fails the test.

    Films begin by themselves in a tab with ``reduced_motion="no-preference"`` alone.
    """
    contexts: list[Any] = []
    said: list[str] = []

    def listen(message: Any) -> None:
        if "Content Security" in message.text:
            said.append(message.text)

    def opened(address: str, **settings: Any) -> Any:
        settings = {"viewport": {"width": 1280, "height": 800}, "reduced_motion": "reduce", **settings}
        context = browser.new_context(base_url=f"http://{address}", **settings)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(LIMIT_S * 1000)
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("console", listen)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert said == []


@pytest.fixture
def tab(open_tab: Open, server, indexed: list) -> Any:
    """A tab before the session's server, whose gallery has all clips."""
    return open_tab(server.address)
