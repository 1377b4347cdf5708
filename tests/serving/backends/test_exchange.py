"""What a client is told of an error on the server."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from framesift.export.bundle.errors import FramesiftError, GalleryError, InvalidRequest
from framesift.serving.backends.exchange import Exchange, defect, without_paths


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "writing to the gallery in /srv/films/gallery failed: disk full",
            "writing to the gallery in gallery failed: disk full",
        ),
        ("FAIL : /onnxruntime_src/onnxruntime/core/x.cc:83 Compute", "FAIL : x.cc:83 Compute"),
        ("file:///home/me/a/b.lance is gone", "file:b.lance is gone"),
        ("'/tmp/a/' and \"/var/b/c\"", "'' and \"c\""),
        ("scores [3, 8] of a/b.mp4, 1/2 done, and/or", "scores [3, 8] of a/b.mp4, 1/2 done, and/or"),
    ],
)
def test_paths_are_left_out(text: str, told: str) -> None:
    assert without_paths(text) == told


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (
            GalleryError("another writer has held /srv/g/.lock for 60 s"),
            "[gallery] another writer has held .lock for 60 s",
        ),
        (ValueError("can't read /opt/models/x.onnx"), "[error] internal error in m: ValueError: can't read x.onnx"),
        (InvalidRequest("the id '/films/a/b.mp4' is bad"), "[invalid-request] the id '/films/a/b.mp4' is bad"),
    ],
)
def test_the_log_has_what_the_client_is_not_told(
    error: Exception, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    server: Any = SimpleNamespace(
        TritonError=lambda message, code: message,
        InferenceResponse=lambda error: error,
    )
    server.TritonError.INTERNAL = server.TritonError.INVALID_ARG = server.TritonError.UNAVAILABLE = 0
    exchange = Exchange.__new__(Exchange)
    exchange._server, exchange._name = server, "m"
    fault = error if isinstance(error, FramesiftError) else None
    assert exchange._response(None, fault or defect("m", error)) == told
    written = capsys.readouterr().err
    assert ("/srv/g/.lock" in written or "/opt/models" in written) is not isinstance(error, InvalidRequest)
