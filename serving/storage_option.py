"""The options of commands that keep a gallery in memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from ..export.bundle.storage_names import STORAGES


def storage_option(text: str) -> Callable[[Any], Any]:
    """``--storage float16|int8``; ``text`` is its help."""
    return click.option("--storage", type=click.Choice(STORAGES), default="float16", show_default=True, help=text)


def coarse_option() -> Callable[[Any], Any]:
    """``--coarse``."""
    return click.option(
        "--coarse", is_flag=True, help="Score averages of frames first, as `framesift gallery calibrate` found."
    )
