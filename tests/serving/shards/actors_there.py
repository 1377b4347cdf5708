"""The actors of shards that run on this machine, below this process."""

from __future__ import annotations

import psutil


def actors() -> list[psutil.Process]:
    """Those of all nodes of the clusters that this process has started."""
    found = []
    for child in psutil.Process().children(recursive=True):
        try:
            if "ShardActor" in " ".join(child.cmdline()):
                found.append(child)
        except psutil.Error:
            continue
    return found
