"""The names that the command line offers, in a module that imports nothing."""

from __future__ import annotations

DEFAULT_RULE = "expected"
RULE_NAMES = (
    DEFAULT_RULE,
    "clip4clip",
    "clip4clip-multi",
    "xpool",
    "frozen",
    "mmt",
    "howto100m",
    "clover",
    "clipbert",
    "actbert",
    "all-in-one",
)

T2V, V2T = "t2v", "v2t"
DIRECTION_NAMES = {T2V: "text-to-video", V2T: "video-to-text"}

TABLE_NAMES = ("msrvtt", "msrvtt-7k", "msvd", "lsmdc", "didemo")
