"""Command-line options that several commands with a server have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from ...export.bundle.dependent import Dependent
from .connection import DEFAULT_ADDRESS


def server_option(text: str, **others: Any) -> Callable[[Any], Any]:
    """``--server HOST:PORT``, also from FRAMESIFT_SERVER; ``text`` is its help, ``others`` go to ``Dependent``."""
    return click.option(
        "--server",
        cls=Dependent,
        **others,
        envvar="FRAMESIFT_SERVER",
        default=DEFAULT_ADDRESS,
        show_default=True,
        show_envvar=True,
        metavar="HOST:PORT",
        help=text,
    )


def model_option(**others: Any) -> Callable[[Any], Any]:
    """``--model ALIAS``, also from FRAMESIFT_MODEL; ``others`` go to ``Dependent``."""
    return click.option(
        "--model",
        cls=Dependent,
        **others,
        envvar="FRAMESIFT_MODEL",
        show_envvar=True,
        metavar="ALIAS",
        help="Which of the server's models, of one that has several.",
    )


def where_option(text: str) -> Callable[[Any], Any]:
    """``--where FILTER``; ``text`` is the beginning of its help."""
    return click.option("--where", metavar="FILTER", help=f"{text} For example 'duration < 30'; see docs/filters.md.")
