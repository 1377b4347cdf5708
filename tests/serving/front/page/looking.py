"""What a tab shows."""

from __future__ import annotations

from typing import Any


def found(tab: Any) -> list[str]:
    """The ids of the hits, once they are there, and so is what the model can do."""
    tab.wait_for_selector(":root[data-like] .hits:not(.old) .hit")
    return tab.locator(".hit h2").all_inner_texts()


def told(tab: Any, words: str) -> None:
    """Wait until the line above the hits says this."""
    tab.wait_for_function("words => answer.innerText.includes(words)", arg=words)


def trouble(tab: Any, place: str = "#trouble") -> str:
    """What went wrong, as the page says it."""
    tab.wait_for_selector(f"{place}:not([hidden])")
    return tab.inner_text(place)


def fits(tab: Any) -> bool:
    """Whether nothing is wider than the window."""
    return bool(tab.evaluate("document.documentElement.scrollWidth <= innerWidth"))
