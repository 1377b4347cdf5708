"""How many videos and texts one call of an encoder takes: the server's batches are an engine's largest shapes."""

from __future__ import annotations

VIDEO_BATCH = 8
TEXT_BATCH = 64
