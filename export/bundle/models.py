"""How much one call of a model takes: the server's batches are an engine's largest shapes."""

from __future__ import annotations

VIDEO_BATCH = 8
TEXT_BATCH = 64
