"""Every scorer's rankings over three shards, to the bit those of one server, on records and texts of real graphs."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch

from framesift.export.bundle.ports import SCORER, TEXT_ENCODER, VIDEO_ENCODER
from framesift.export.bundle.scorers import SCORERS
from framesift.export.bundle.sessions import cpu_session
from framesift.export.bundle.storage_names import Storage
from framesift.export.bundle.storages import stored
from framesift.export.bundle.store import Bundle
from framesift.export.systems.examples import small_system
from framesift.serving.gallery.rows import GalleryEntry

from ...small_systems import small_bundle
from .beside import beside

pytestmark = [pytest.mark.slow]
_VIDEOS, _TEXTS = 9, 2
_SYSTEMS = {
    "topk_attention": "dong2026 positional",
    "dot": "frozen",
    "weighed_experts": "mmt of present experts",
    "frame_softmax": "ts2net",
    "multi_grained": "xclip",
    "token_frame": "mugstan",
    "cross_encoder": "clip4clip tightTransf",
    "rolled_encoder": "all_in_one irtr",
    "clip_pooling": "clipbert",
    "tangled_encoder": "actbert",
}


def test_no_scorer_is_left_out() -> None:
    assert _SYSTEMS.keys() == SCORERS.keys()


def _entries(bundle: Bundle, system: torch.nn.Module, draw: torch.Generator) -> list[GalleryEntry]:
    graph = cpu_session(bundle.graph(VIDEO_ENCODER), 1)
    ports = bundle.manifest.graphs[VIDEO_ENCODER]
    features = system.random_features(_VIDEOS, draw) if system.features is not None else {}
    found = []
    for row in range(_VIDEOS):
        inputs = {}
        for port in ports.inputs:
            shape = [1, *(4 if isinstance(dim, str) else dim for dim in port.dims[1:])]
            if port.name in features:
                inputs[port.name] = features[port.name][row : row + 1].numpy()
            elif port.dtype == "uint8":
                inputs[port.name] = torch.randint(0, 256, shape, generator=draw).to(torch.uint8).numpy()
            else:
                inputs[port.name] = np.ones(shape, port.dtype)
        values = dict(zip([port.name for port in ports.outputs], graph.run(None, inputs), strict=True))
        found.append(
            GalleryEntry(
                f"video {row}",
                {name: array[0] for name, array in values.items()},
                np.arange(bundle.manifest.frame_count or 1, dtype=np.float32),
                1.0,
                hashlib.sha256(bytes([row])).digest(),
            )
        )
    return found


@pytest.mark.parametrize(
    ("scorer", "storage"), [*((scorer, "float16") for scorer in _SYSTEMS), ("topk_attention", "int8")]
)
def test_rankings_are_one_servers(
    scorer: str, storage: Storage, bundles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = _SYSTEMS[scorer]
    bundle, system = small_bundle(name, bundles), small_system(name)
    manifest = stored(bundle.manifest, storage)
    assert manifest.scorer == scorer
    draw = torch.Generator().manual_seed(3)
    ids = system.random_token_ids(_TEXTS, system.max_tokens, draw).numpy()
    encoded = cpu_session(bundle.graph(TEXT_ENCODER), 1).run(None, {"token_ids": ids})
    ports = bundle.manifest.graphs[TEXT_ENCODER].outputs
    text = {port.name: values for port, values in zip(ports, encoded, strict=True)}
    entries = _entries(bundle, system, draw)
    files = {f"{SCORER}.onnx": bundle.graph(SCORER).read_bytes()}
    with beside(tmp_path, manifest, files, 3, monkeypatch) as (alone, together, _):
        for kept in (alone, together):
            for entry in entries[:7]:
                kept.add([entry])
            kept.wait(text)
        assert together.found(text, 5) == alone.found(text, 5)
        for kept in (alone, together):
            kept.change({"video 2": {"delete": True}})
            for entry in (*entries[7:], entries[0]):
                kept.add([entry])
            kept.wait(text)
        assert together.found(text, 1000, facts=True) == alone.found(text, 1000, facts=True)
