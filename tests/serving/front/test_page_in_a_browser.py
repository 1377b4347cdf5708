"""The page in Chromium, before a real server: searching, jumping, uploading, errors, keys, and axe.

It needs Chromium, Playwright and axe-core: `make browser` brings them.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from framesift.export.bundle.store import Bundle
from framesift.serving.client.sync import Client
from framesift.serving.front.tokens import new_token
from framesift.serving.server.door import Reach

from .asked_over_http import settle

pytestmark = [pytest.mark.server, pytest.mark.slow]
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
AXE = Path(os.environ.get("FRAMESIFT_AXE", Path(__file__).parents[3] / "work/browser/node_modules/axe-core/axe.min.js"))
TEXT = "a large purple triangle moves up"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("there is no Chromium: make browser")
    playwright = pytest.importorskip("playwright.sync_api", reason="there is no Playwright: make browser")
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def tab(browser, server, indexed: list) -> Iterator[Any]:
    """A tab that has not been anywhere; what its console says of errors fails the test."""
    context = browser.new_context(base_url=f"http://{server.address}", viewport={"width": 1280, "height": 800})
    page = context.new_page()
    page.set_default_timeout(15_000)
    said: list[str] = []
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("console", lambda message: said.append(message.text) if "Content Security" in message.text else None)
    yield page
    context.close()
    assert said == []


def found(page: Any) -> list[str]:
    page.wait_for_selector(".hits:not(.old) .hit")
    return page.locator(".hit h2").all_inner_texts()


def test_a_search_shows_what_the_client_finds_and_its_address_says_it(tab, client: Client) -> None:
    wanted = [hit.id for hit in client.search(TEXT, 12).hits]
    tab.goto("/")
    tab.keyboard.type(TEXT)
    tab.keyboard.press("Enter")
    assert found(tab) == wanted
    assert re.search(r"12 best of \d+ videos . [\d.]+ ms in the server, .* exact", tab.inner_text("#answer"))
    assert "q=a+large+purple+triangle" in tab.url
    # The way back leads to what the gallery has, and forward to the hits again.
    tab.go_back()
    tab.wait_for_function("() => answer.innerText.endsWith('in the gallery')")
    assert found(tab) == [video.id for video in client.list_videos(24).videos]
    tab.go_forward()
    tab.wait_for_function("() => answer.innerText.includes('best')")
    assert found(tab) == wanted
    # The best frame of every film that is in sight is drawn.
    tab.wait_for_selector(".still.drawn")
    drawn = "c => new Set(c.getContext('2d').getImageData(0, 0, c.width, c.height).data).size"
    assert tab.locator(".still.drawn canvas").first.evaluate(drawn) > 10


def test_every_weight_of_the_strip_jumps_to_its_frame(tab, client: Client) -> None:
    best = client.search(TEXT, 1).hits[0]
    tab.goto(f"/?q={TEXT}")
    bars = tab.locator(".hit").first.locator(".strip button")
    assert bars.count() == len(best.attention)
    for frame in (0, 7):
        bars.nth(frame).click()
        tab.wait_for_function("t => Math.abs(film.currentTime - t) < 0.1 && !film.seeking", arg=best.timestamps[frame])
        assert f"t={best.timestamps[frame]:.3f}".rstrip("0").rstrip(".") in tab.url
        tab.keyboard.press("Escape")
    # A link to a moment opens there.
    tab.goto(f"/?q={TEXT}&play={best.id}&t={best.timestamps[5]:.3f}")
    tab.wait_for_function("t => Math.abs(film.currentTime - t) < 0.1", arg=best.timestamps[5])
    assert tab.locator("#film-strip [aria-current]").count() == 1
    assert tab.locator("#film-strip button").nth(5).get_attribute("aria-current") == "true"


def test_the_keyboard_is_enough(tab, client: Client) -> None:
    hits = client.search(TEXT, 2).hits
    tab.goto(f"/?q={TEXT}")
    found(tab)
    tab.locator(".still").first.focus()
    # The strip is one stop, at its best frame; arrows go on from there.
    tab.keyboard.press("Tab")
    best = hits[0].attention.index(max(hits[0].attention))
    focused = "document.activeElement.getAttribute('aria-label')"
    assert tab.evaluate(focused).startswith(f"Jump to {hits[0].timestamps[best]:.1f} s")
    tab.keyboard.press("Home")
    assert tab.evaluate(focused).startswith(f"Jump to {hits[0].timestamps[0]:.1f} s")
    tab.keyboard.press("Tab")
    assert tab.evaluate(focused) == f"More like this: {hits[0].id}"
    tab.keyboard.press("Tab")
    assert f"Play {hits[1].id}" in tab.evaluate("document.activeElement.textContent")
    tab.keyboard.press("Enter")
    assert tab.inner_text("#player-title") == hits[1].id
    tab.keyboard.press("Escape")
    assert not tab.locator("#player").is_visible()
    tab.keyboard.press("/")
    assert tab.evaluate("document.activeElement.id") == "text"


def test_hits_are_filtered_and_paged(tab, client: Client) -> None:
    where = "duration > 2.5"
    wanted = [hit.id for hit in client.search(TEXT, 100, where=where).hits]
    tab.goto(f"/?q={TEXT}")
    tab.click("summary")
    tab.fill("#where", where)
    tab.select_option("#top", "6")
    tab.keyboard.press("Enter")
    tab.wait_for_function("() => answer.innerText.startsWith('6 best')")
    assert f"of {len(wanted)} videos" in tab.inner_text("#answer")
    assert "where=duration" in tab.url
    tab.click("#more")
    tab.wait_for_function("() => answer.innerText.startsWith('12 best')")
    assert found(tab) == wanted[:12]
    tab.fill("#min-score", "2")
    tab.keyboard.press("Enter")
    tab.wait_for_function("() => answer.innerText.startsWith('Nothing fits')")
    tab.fill("#where", "duration >")
    tab.keyboard.press("Enter")
    tab.wait_for_selector("#trouble:not([hidden])")
    assert "11" in tab.inner_text("#trouble")


def test_a_hit_and_a_file_are_searched_with(tab, client: Client, indexed: list) -> None:
    tab.goto(f"/?q={TEXT}")
    first = found(tab)[0]
    tab.locator(".alike").first.click()
    assert found(tab) == [hit.id for hit in client.search(TEXT, 12, like=first).hits]
    assert (tab.inner_text("#like-name"), first in unquote(tab.url)) == (first, True)
    tab.locator("#like-weight input").fill("0.9")
    tab.keyboard.press("Enter")
    assert found(tab) == [hit.id for hit in client.search(TEXT, 12, like=first, weight=0.9).hits]
    tab.fill("#text", "")
    tab.keyboard.press("Enter")
    wanted = [hit.id for hit in client.search(like=first, top=12).hits]
    assert found(tab) == wanted
    tab.reload()
    assert found(tab) == wanted
    tab.click("#like-none")
    tab.wait_for_function("() => answer.innerText.endsWith('in the gallery')")
    assert not tab.locator("#like").is_visible()
    clip = indexed[3].video
    before = client.lookup([]).count
    tab.set_input_files("#like-file", clip)
    assert found(tab) == [hit.id for hit in client.search(like=clip, top=12).hits]
    assert tab.inner_text("#like-name") == clip.name
    tab.evaluate(
        """() => {
            const moved = new DataTransfer();
            moved.items.add(new File(["no picture"], "no picture.png"));
            dispatchEvent(new DragEvent("drop", { dataTransfer: moved, cancelable: true }));
        }"""
    )
    tab.wait_for_selector("#trouble:not([hidden])")
    assert "unknown or unsupported format" in tab.inner_text("#trouble")
    assert client.lookup([]).count == before


def test_a_video_is_uploaded_found_and_shown(tab, client: Client, indexed: list, tmp_path: Path) -> None:
    file = tmp_path / "von der Straße.mp4"
    file.write_bytes(indexed[0].video.read_bytes())
    (tmp_path / "no film.mp4").write_text("no film")
    tab.goto("/")
    tab.click("#open-upload")
    tab.set_input_files("#files", [file, tmp_path / "no film.mp4"])
    tab.wait_for_selector("#sent .failed")
    assert "unknown or unsupported format" in tab.inner_text("#sent .failed")
    tab.wait_for_function("() => sent.innerText.includes('is in the gallery')")
    tab.keyboard.press("Escape")
    settle(client)
    tab.fill("#text", indexed[0].captions[0])
    tab.keyboard.press("Enter")
    tab.wait_for_function("name => results.innerText.includes(name)", arg=file.name)
    # The server has no file of it: it is shown from here.
    tab.locator(".hit", has_text=file.name).locator(".still").click()
    tab.wait_for_function("() => film.readyState >= 2 && film.src.startsWith('blob:')")
    client.delete([file.name])
    settle(client)


def test_errors_are_told(tab, server) -> None:
    tab.goto("/")
    tab.route("**/v1/search", lambda route: route.abort())
    tab.fill("#text", TEXT)
    tab.keyboard.press("Enter")
    tab.wait_for_selector("#trouble:not([hidden])")
    assert "does not answer" in tab.inner_text("#trouble")
    tab.unroute("**/v1/search")
    tab.goto(f"/?q={TEXT}&top=2000")
    tab.wait_for_selector("#trouble:not([hidden])")
    assert tab.inner_text("#trouble") == "top is 2000, it must lie in 1..1000"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_axe_finds_nothing(scheme: str, width: int, tab, client: Client) -> None:
    if not AXE.is_file():
        pytest.skip("there is no axe-core: make browser")
    tab.emulate_media(color_scheme=scheme)
    tab.set_viewport_size({"width": width, "height": 800})
    best = client.search(TEXT, 1).hits[0]
    for address in (
        "/",
        f"/?q={TEXT}",
        f"/?q={TEXT}&like={best.id}",
        f"/?q={TEXT}&top=2000",
        f"/?q={TEXT}&play={best.id}",
    ):
        tab.goto(address)
        tab.wait_for_load_state("networkidle")
        assert violations(tab) == {}, address
        # Nothing is wider than the window.
        assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
    tab.keyboard.press("Escape")
    tab.click("#open-upload")
    assert violations(tab) == {}


def violations(page: Any) -> dict[str, list[str]]:
    # What a page brings itself may not run beside it; the debugger's may.
    page.evaluate(AXE.read_text(encoding="utf-8"))
    run = page.evaluate("axe.run({resultTypes: ['violations']})")
    return {each["id"]: [node["html"] for node in each["nodes"]] for each in run["violations"]}


def test_a_token_is_asked_for_and_kept(browser, bundle: Bundle, gallery_folder: Path, tmp_path: Path) -> None:
    from .alone import standing

    tokens = tmp_path / "tokens"
    token = new_token(tokens, "reader", ["search"])
    with standing(bundle.root, tmp_path / "run", Reach(tokens=tokens, page=True)) as (address, _):
        page = browser.new_context(base_url=f"http://{address}").new_page()
        page.goto("/")
        page.wait_for_selector("#token[open]")
        page.fill("#token-text", "fs_guessed")
        page.keyboard.press("Enter")
        page.wait_for_selector("#token-trouble:not([hidden])")
        assert "does not know this token" in page.inner_text("#token-trouble")
        page.fill("#token-text", token)
        page.keyboard.press("Enter")
        page.wait_for_selector("#token:not([open])", state="attached")
        kept = page.context.cookies(f"http://{address}/v1/search")
        assert [(each["name"], each["value"], each["httpOnly"]) for each in kept] == [("framesift", token, True)]
        assert page.evaluate("document.cookie") == ""
        page.context.close()


def test_the_first_answer_is_painted_within_a_second(tab, indexed: list) -> None:
    tab.goto(f"/?q={TEXT}")
    found(tab)
    painted = tab.evaluate("performance.now()")
    assert painted < 1000 or os.getloadavg()[0] > 2, painted
