"""Who may make which call. All that the door answers stands here, and what does not is answered to nobody.

Calls have the names by which metrics, the access log and the description of ``/v1`` tell them apart.
"""

from __future__ import annotations

from collections.abc import Mapping

from ...export.bundle.models import (
    ENCODE_FRAMES,
    ENCODE_VIDEO,
    GALLERY_EDIT,
    GALLERY_LIST,
    GALLERY_LOOKUP,
    INDEX_VIDEO,
    SCORE_TEXT,
    SEARCH,
    SEARCH_LIKE,
    SEARCH_LIKE_TEXT,
    SEARCH_VIDEO,
    SEARCH_VIDEO_TEXT,
)
from .tokens import ADMIN, INDEX
from .tokens import SEARCH as SEARCH_ROLE

Roles = frozenset[str]
# No token is looked at: what a prober asks, and what tells a stranger how to call.
FREE: Roles = frozenset()
SEARCHERS, INDEXERS, ADMINS = frozenset({SEARCH_ROLE}), frozenset({INDEX}), frozenset({ADMIN})
# Every token has one of the roles, so any of them will do.
KNOWN = SEARCHERS | INDEXERS
# What there is not: whoever is known is told so.
UNKNOWN = "unknown"

CALLS: Mapping[str, Roles] = {
    # KServe v2 over gRPC, and over HTTP by the same names. Of inference the model decides.
    "ModelInfer": KNOWN,
    "ModelStreamInfer": KNOWN,
    "ModelReady": KNOWN,
    "ModelMetadata": KNOWN,
    "ModelConfig": KNOWN,
    "ModelStatistics": KNOWN,
    "ServerMetadata": KNOWN,
    "ServerLive": FREE,
    "ServerReady": FREE,
    # gRPC's health service.
    "Check": FREE,
    "metrics": KNOWN,
    # Below /v1.
    "describe": FREE,
    "search": SEARCHERS,
    "getGallery": KNOWN,
    "listVideos": KNOWN,
    "getVideo": KNOWN,
    "getVideoFile": SEARCHERS,
    "indexVideo": INDEXERS,
    "updateVideo": INDEXERS,
    "deleteVideo": INDEXERS,
    "listModels": KNOWN,
    "moveAlias": ADMINS,
    # The page's files hold nothing of the gallery, and a session's token is looked at when it is used.
    "page": FREE,
    "session": FREE,
    UNKNOWN: KNOWN,
}

MODELS: Mapping[str, Roles] = {
    SEARCH: SEARCHERS,
    SEARCH_LIKE: SEARCHERS,
    SEARCH_LIKE_TEXT: SEARCHERS,
    SEARCH_VIDEO: SEARCHERS,
    SEARCH_VIDEO_TEXT: SEARCHERS,
    SCORE_TEXT: SEARCHERS,
    GALLERY_LOOKUP: KNOWN,
    GALLERY_LIST: KNOWN,
    GALLERY_EDIT: INDEXERS,
    INDEX_VIDEO: INDEXERS,
    ENCODE_VIDEO: INDEXERS,
    ENCODE_FRAMES: INDEXERS,
}
