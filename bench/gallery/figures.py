"""What some figures of a gallery are called, by whoever measures them and whoever reads them."""

from __future__ import annotations

# Of a storage of 8 bits, and of a coarse stage.
FASTER = "search, times as fast as in float16"
DIFFERENT = "searches that differ from float16's"
RESCORED = "share of videos that a search scored"
COARSE_FASTER = "search with a coarse stage, times as fast as in float16"
COARSE_RECALL = "recall@10 of other texts than it was calibrated with"
COARSE_CANDIDATES = "candidates, share of the gallery"
