"""The names of the storages that a served gallery can have, for what must start quickly."""

from __future__ import annotations

from typing import Literal, get_args

Storage = Literal["float16", "int8"]
STORAGES: tuple[Storage, ...] = get_args(Storage)
