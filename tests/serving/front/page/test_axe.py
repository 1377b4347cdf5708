"""axe finds nothing wrong for those who don't see, or see little, whatever is looked at."""

from __future__ import annotations

from typing import Any

import pytest

from framesift.serving.client.sync import Client

from ..asked_over_http import settle
from .conftest import MODULES
from .looking import fits, found

pytestmark = [pytest.mark.server, pytest.mark.slow, pytest.mark.page]
AXE = MODULES / "axe-core" / "axe.min.js"
TEXT = "a large purple triangle moves up"
# Right to left, without blanks, of pictures, and with what looks like markup.
ODD_IDS = (
    "סרטים/שלום עולם.mp4",
    "映画/夜の東京タワー.mp4",
    "🎬🎉/🇫🇷 🦊.mp4",
    "<b>bold</b>&amp;.mp4",
    f"{'long' * 60}.mp4",
)


def violations(tab: Any) -> dict[str, list[str]]:
    # What a page brings itself may not run beside it; the debugger's may.
    tab.evaluate(AXE.read_text(encoding="utf-8"))
    run = tab.evaluate("axe.run({resultTypes: ['violations']})")
    return {each["id"]: [node["html"] for node in each["nodes"]] for each in run["violations"]}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_axe_finds_nothing(scheme: str, width: int, tab, client: Client) -> None:
    tab.emulate_media(color_scheme=scheme)
    tab.set_viewport_size({"width": width, "height": 800})
    best = client.search(TEXT, 1).hits[0]
    for address in (
        "/",
        f"/?q={TEXT}",
        f"/?q={TEXT}&like={best.id}",
        f"/?q={TEXT}&top=2000",
        f"/?q={TEXT}&where=duration",
        f"/?q={TEXT}&play={best.id}",
    ):
        tab.goto(address)
        tab.wait_for_load_state("networkidle")
        assert violations(tab) == {}, address
        assert fits(tab)
    tab.keyboard.press("Escape")
    tab.click("#open-upload")
    assert violations(tab) == {}


@pytest.mark.parametrize("width", [1280, 390])
def test_odd_ids_and_long_metadata_have_their_place(width: int, tab, client: Client, indexed: list) -> None:
    told = {"title": "כותרת " * 400, "notes": [{"line": number, "text": "word " * 20} for number in range(200)]}
    for id_ in ODD_IDS:
        client.index(indexed[0].video, id=id_, metadata=told)
    settle(client)
    try:
        tab.set_viewport_size({"width": width, "height": 800})
        tab.goto(f"/?q={indexed[0].captions[0]}&top=24")
        assert set(ODD_IDS) <= set(found(tab))
        assert fits(tab)
        # No card is taller than three pictures, whatever it tells.
        assert tab.evaluate("Math.max(...[...document.querySelectorAll('.hit')].map(each => each.offsetHeight))") < 800
        assert violations(tab) == {}
        for id_ in ODD_IDS[:4]:
            tab.locator(".hit", has=tab.get_by_role("heading", name=id_, exact=True)).locator(".still").click()
            assert tab.inner_text("#player-title") == id_
            assert violations(tab) == {}
            assert fits(tab)
            tab.keyboard.press("Escape")
    finally:
        client.delete(ODD_IDS)
        settle(client)
