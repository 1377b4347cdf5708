"""What the page shows follows the alias that it asks for, to a model of another system."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from framesift.export.bundle.store import Bundle
from framesift.export.bundle.video.limits import DEFAULT_LIMITS
from framesift.serving.client.aliases import Aliases
from framesift.serving.client.sync import Client
from framesift.serving.server.door import Reach
from framesift.serving.several import Named, running_several

from ....small_systems import small_bundle
from .conftest import Open
from .looking import fits, found, trouble

pytestmark = [pytest.mark.server, pytest.mark.slow, pytest.mark.page]
CLIPS = 8


@pytest.fixture
def several(bundle: Bundle, bundles: Path, clips: list, tmp_path: Path) -> Iterator[str]:
    """The address of a server with the demo's model, and with one that can't be searched by a video."""
    pairs = small_bundle("clip4clip tightTransf", bundles)
    named = [Named("films", bundle.root, tmp_path / "films"), Named("pairs", pairs.root, tmp_path / "pairs")]
    with running_several(named, Reach(page=True), limits=DEFAULT_LIMITS) as server:
        for name in ("films", "pairs"):
            with Client(server.address, model=name) as client:
                for clip in clips[:CLIPS]:
                    last = client.index(clip.video, id=clip.video.name)
                client.wait_searchable(last)
        yield server.address


def test_the_page_follows_an_alias(open_tab: Open, several: str, clips: list) -> None:
    text = clips[0].captions[0]
    tab = open_tab(several)
    tab.goto(f"/?q={text}&top=6")
    first = found(tab)
    assert "dong2026" in tab.inner_text("#facts")
    assert tab.locator(".alike").first.is_visible()
    Aliases(several).switch("films", "pairs")
    # The pages before were the other model's: what was found stays, and the search begins again.
    tab.click("#more")
    assert "of another search" in trouble(tab, "#more-trouble")
    assert found(tab) == first
    tab.click("#more")
    tab.wait_for_function("() => facts.innerText.includes('clip4clip')")
    assert not tab.locator(".alike").first.is_visible()
    assert not tab.locator(".by").is_visible()
    with Client(several) as client:
        assert found(tab) == [hit.id for hit in client.search(text, 6).hits]
    # Both aliases are the same model now; moved back, the other one is as it was.
    Aliases(several).switch("films", "films")
    tab.select_option("#model", "pairs")
    tab.wait_for_function("() => location.search.includes('model=pairs')")
    tab.select_option("#model", "films")
    tab.wait_for_function("() => facts.innerText.includes('dong2026')")
    assert found(tab) == first
    assert tab.locator(".alike").first.is_visible()
    # The choice of a model has its place on a phone, too.
    tab.set_viewport_size({"width": 390, "height": 800})
    assert fits(tab)
