"""``python -m framesift.bench.load``: the load commands by themselves."""

from __future__ import annotations

from .commands import group

if __name__ == "__main__":
    group(prog_name="python -m framesift.bench.load")
