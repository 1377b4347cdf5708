from __future__ import annotations

from .export.bundle import errors as _defined
from .export.bundle.errors import (
    AccessDenied,
    BundleError,
    CheckpointError,
    ClientError,
    DeadlineExceeded,
    EngineError,
    EngineMismatch,
    FramesiftError,
    GalleryError,
    GalleryMismatch,
    InvalidFeatures,
    InvalidInput,
    InvalidQuery,
    InvalidRequest,
    InvalidVideo,
    ParityError,
    PrecisionError,
    ServerError,
    ServerStartError,
    ServerUnavailable,
)

__doc__ = _defined.__doc__
__all__ = [
    "AccessDenied",
    "BundleError",
    "CheckpointError",
    "ClientError",
    "DeadlineExceeded",
    "EngineError",
    "EngineMismatch",
    "FramesiftError",
    "GalleryError",
    "GalleryMismatch",
    "InvalidFeatures",
    "InvalidInput",
    "InvalidQuery",
    "InvalidRequest",
    "InvalidVideo",
    "ParityError",
    "PrecisionError",
    "ServerError",
    "ServerStartError",
    "ServerUnavailable",
]
