"""The page in Chromium, before a real server: searching, jumping, filters, pages, likes, keys, links."""

from __future__ import annotations

import re
from urllib.parse import quote, unquote

import pytest

from framesift.serving.client.sync import Client

from ..asked_over_http import settle
from .conftest import Open
from .looking import found, told, trouble

pytestmark = [pytest.mark.server, pytest.mark.slow, pytest.mark.page]
TEXT = "a large purple triangle moves up"


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


def test_a_film_that_is_clicked_plays_from_there(open_tab: Open, server, client: Client, indexed: list) -> None:
    first = client.search(TEXT, 1).hits[0].timestamps[0]
    tab = open_tab(server.address, reduced_motion="no-preference")
    tab.goto(f"/?q={TEXT}")
    tab.locator(".hit").first.locator(".strip button").first.click()
    tab.wait_for_function("t => film.currentTime > t + 0.2", arg=first)


def test_a_link_leads_to_the_film_and_its_moment(tab, client: Client) -> None:
    hits = client.search(TEXT, 20).hits
    # Both of the first page and of none: only the films of the first page are found without asking for more.
    for hit in (hits[0], hits[19]):
        tab.goto(f"/?q={TEXT}&play={quote(hit.id)}&t={hit.timestamps[5]:.3f}")
        tab.wait_for_function("t => Math.abs(film.currentTime - t) < 0.1", arg=hit.timestamps[5])
        assert tab.inner_text("#player-title") == hit.id
        assert tab.locator("#film-strip .weight").count() == len(hit.attention)
        assert tab.locator("#film-strip [aria-current]").count() == 1
        assert tab.locator("#film-strip button").nth(5).get_attribute("aria-current") == "true"
        assert tab.evaluate("film.paused")
    # Where nothing is searched for, too; and a film that is gone is named.
    tab.goto(f"/?play={quote(hits[3].id)}&t=1")
    tab.wait_for_function("() => Math.abs(film.currentTime - 1) < 0.1")
    tab.goto(f"/?q={TEXT}&play=gone.mp4")
    assert "gone.mp4" in trouble(tab)
    assert found(tab) == [hit.id for hit in hits[:12]]


def test_a_step_back_closes_a_film(tab, client: Client) -> None:
    wanted = [hit.id for hit in client.search(TEXT, 12).hits]
    tab.goto("/")
    found(tab)
    tab.fill("#text", TEXT)
    tab.keyboard.press("Enter")
    told(tab, "12 best")
    search = tab.url
    asked: list[str] = []
    tab.on("request", lambda request: asked.append(request.url) if "/v1/search" in request.url else None)
    # By the way back, as on a phone, and by Escape: both leave the way to what was before the search.
    for close in (tab.go_back, lambda: tab.keyboard.press("Escape")):
        tab.locator(".still").nth(2).click()
        tab.wait_for_selector("#player[open]")
        assert "play=" in tab.url
        close()
        tab.wait_for_selector("#player:not([open])", state="attached")
        tab.wait_for_url(search)
    assert (found(tab), asked) == (wanted, [])
    tab.go_back()
    told(tab, "in the gallery")


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
    told(tab, "6 best")
    assert f"of {len(wanted)} videos" in tab.inner_text("#answer")
    assert "where=duration" in tab.url
    tab.click("#more")
    told(tab, "12 best")
    assert found(tab) == wanted[:12]
    tab.fill("#min-score", "2")
    tab.keyboard.press("Enter")
    told(tab, "Nothing fits")
    tab.fill("#where", "duration >")
    tab.keyboard.press("Enter")
    assert "11" in trouble(tab)
    assert tab.get_attribute("#where", "aria-invalid") == "true"


def test_the_gallery_is_looked_through_by_a_filter(tab, client: Client) -> None:
    where = "duration > 2.5"
    wanted = [video.id for video in client.videos(where)]
    tab.goto("/")
    tab.click("summary")
    tab.fill("#where", where)
    tab.keyboard.press("Enter")
    told(tab, f"{len(wanted)} videos that fit these filters")
    assert found(tab) == wanted[:24]
    tab.fill("#where", "duration > 1000")
    tab.keyboard.press("Enter")
    told(tab, "Nothing fits these filters")


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
    assert "unknown or unsupported format" in trouble(tab)
    assert client.lookup([]).count == before


def test_a_moment_of_a_film_in_segments_is_searched_with(tab, client: Client, indexed: list) -> None:
    client.wait_searchable(client.index(indexed[0].video, id="page/film", segments=1.0))
    where = f"id in ('page/film', '{indexed[1].video.name}', '{indexed[2].video.name}')"
    best = next(hit for hit in client.search(TEXT, 3, where=where).hits if hit.id == "page/film")
    tab.goto(f"/?q={TEXT}&where={where}")
    assert len(found(tab)) == 3
    more = tab.locator(".hit", has_text="page/film").locator(".alike")
    assert more.inner_text() == "More like this moment"
    more.click()
    wanted = [hit.id for hit in client.search(TEXT, 12, like="page/film", segment=best.segment, where=where).hits]
    assert found(tab) == wanted
    assert len(wanted) == 2
    assert f"segment={best.segment}" in tab.url
    assert tab.inner_text("#like-name") == f"page/film, segment {best.segment}"
    tab.reload()
    assert found(tab) == wanted
    # Another video is searched with as a whole.
    tab.locator(".alike").first.click()
    assert len(found(tab)) == 2
    assert "segment=" not in tab.url
    client.delete(["page/film"])
    settle(client)
