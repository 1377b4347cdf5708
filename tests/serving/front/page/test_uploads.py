"""Films go into the gallery from the page, and are shown from the reader's own disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from framesift.serving.client.sync import Client

from ..asked_over_http import settle
from .looking import found, told

pytestmark = [pytest.mark.server, pytest.mark.slow, pytest.mark.page]


def test_a_video_is_uploaded_found_and_shown(tab, client: Client, indexed: list, tmp_path: Path) -> None:
    file = tmp_path / "von der Straße.mp4"
    file.write_bytes(indexed[0].video.read_bytes())
    (tmp_path / "no film.mp4").write_text("no film")
    before = client.count()
    tab.goto("/")
    told(tab, f"{before} videos in the gallery")
    tab.click("#open-upload")
    tab.set_input_files("#files", [file, tmp_path / "no film.mp4"])
    tab.wait_for_selector("#sent .failed")
    assert "unknown or unsupported format" in tab.inner_text("#sent .failed")
    tab.wait_for_function("() => sent.innerText.includes('is in the gallery')")
    tab.keyboard.press("Escape")
    told(tab, f"{before + 1} videos in the gallery")
    settle(client)
    tab.fill("#text", indexed[0].captions[0])
    tab.keyboard.press("Enter")
    tab.wait_for_function("name => results.innerText.includes(name)", arg=file.name)
    # The server has no file of it: it is shown from here.
    tab.locator(".hit", has_text=file.name).locator(".still").click()
    tab.wait_for_function("() => film.readyState >= 2 && film.src.startsWith('blob:')")
    # Whoever comes later is told why there is none.
    tab.goto(f"/?play={file.name}")
    tab.wait_for_selector("#unshown:not([hidden])")
    assert "no file of" in tab.inner_text("#unshown")
    client.delete([file.name])
    settle(client)


def test_an_upload_is_stopped(tab, client: Client, indexed: list, tmp_path: Path) -> None:
    before = client.count()
    files = [tmp_path / f"{number}.mp4" for number in range(3)]
    for file in files:
        file.write_bytes(indexed[0].video.read_bytes())
    tab.goto("/")
    found(tab)
    # Two are on their way, and don't arrive; the third waits.
    tab.route("**/v1/videos?id=*", lambda route: None)
    tab.click("#open-upload")
    tab.set_input_files("#files", files)
    for left in (2, 1, 0):
        tab.locator("#sent button").first.click()
        assert tab.locator("#sent button").count() == left
    assert tab.locator("#sent output").all_inner_texts() == ["Stopped."] * 3
    assert client.count() == before
