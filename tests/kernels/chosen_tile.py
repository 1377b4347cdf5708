"""Scores and searches by the kernel of a tile that the tables may not have for this device."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest import mock

from framesift.kernels.device import best
from framesift.kernels.device.tile import Tile, regime
from framesift.kernels.topk_attention import configs, launch


def with_tile(function: Callable[..., Any], row: list[Any], **arguments: Any) -> Any:
    """``launch.score`` or ``launch.search`` with ``Tile(*row)`` in the place of the table's own tile."""
    how = launch.plan_for(arguments["u"], arguments["frames"], arguments["top_k"], arguments["heads"])
    key = (configs.row_of(how.arch), regime(len(arguments["u"])), how.storage)
    with mock.patch.dict(configs.OWN, {key: Tile(*row)}):
        assert launch.plan_for(arguments["u"], arguments["frames"], arguments["top_k"], arguments["heads"]) != how
        return function(**arguments)


def score_by(row: list[Any], **arguments: Any) -> Any:
    return with_tile(launch.score, row, **arguments)


def search_by(row: list[Any], **arguments: Any) -> Any:
    return with_tile(launch.search, row, **arguments)


def search_in_parts(**arguments: Any) -> Any:
    """``launch.search`` that holds the scores of one group at once."""
    with mock.patch.object(best, "SCORES_AT_ONCE", 1):
        return launch.search(**arguments)
