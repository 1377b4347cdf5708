"""The published systems, in order of precedence: a checkpoint is the first one's of which it has a sign.

Those above have what those below have. Imports no torch: a card is read when it is asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .card import SystemCard

AUTO = "auto"
# The name of each system, and the module in which its card is the constant of that name.
_MODULES: Mapping[str, str] = {
    "dong2026": "dong2026",
    "xpool": "xpool",
    "xclip": "xclip",
    "ts2net": "ts2net",
    "dgl": "dgl",
    "stan": "stan",
    "mugstan": "stan",
    "table": "table",
    "rvtr": "rvtr",
    "clip4clip": "clip4clip",
    "all_in_one": "all_in_one",
    "clipbert": "clipbert",
    "actbert": "actbert",
    "frozen": "frozen",
    "mac": "mac",
    "clover": "clover",
    "howto100m": "howto100m",
    "mmt": "mmt",
}
SYSTEMS = tuple(_MODULES)


def card_of(system: str) -> SystemCard[Any]:
    """The card of the system of that name, one of ``SYSTEMS``."""
    card: SystemCard[Any] = getattr(import_module(f".{_MODULES[system]}", __package__), system.upper())
    return card


def cards() -> Iterator[SystemCard[Any]]:
    """The cards of all systems, in order of precedence."""
    return map(card_of, SYSTEMS)
