"""A server that speaks Triton server's protocol over real gRPC, with the real gallery behind it and toy
encoders.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import numpy.typing as npt
import pytest
from google.protobuf import json_format
from tritonclient.grpc import model_config_pb2
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc.service_pb2_grpc import (
    GRPCInferenceServiceServicer,
    add_GRPCInferenceServiceServicer_to_server,
)
from tritonclient.utils import np_to_triton_dtype, triton_to_np_dtype

from framesift.export.bundle.errors import FramesiftError, InvalidVideo, ServerUnavailable
from framesift.export.bundle.manifest import Manifest
from framesift.export.bundle.ports import (
    ATTENTION,
    CANDIDATE_LENGTHS,
    CANDIDATES,
    DURATION,
    FRAME_EMBEDDINGS,
    FRAMES,
    MEAN_EMBEDDING,
    OPTIONS,
    SCORER,
    SCORES,
    TEXT,
    TEXT_EMBEDDING,
    TEXT_LENGTH,
    TIMESTAMPS,
    TOP,
    VIDEO,
)
from framesift.serving.backends.feature_reader import FeatureReader
from framesift.serving.backends.gallery_index import GalleryIndex
from framesift.serving.backends.gallery_lookup import GalleryLookup
from framesift.serving.backends.gallery_search import GallerySearch
from framesift.serving.client.aio import AsyncClient
from framesift.serving.client.sync import Client
from framesift.serving.front.deployment import gallery_told, public_models
from framesift.serving.front.describing import config
from framesift.serving.front.options import read_options
from framesift.serving.gallery.environment import gallery_from_env
from framesift.serving.search.facts import Facts
from framesift.serving.search.ranking import GraphRanker
from framesift.serving.search.selecting import Selector
from framesift.serving.search.snapshot import Snapshot

from ...waiting import until
from ..toy_ports import toy_manifest

F, D, S = 3, 8, 32
Arrays = Mapping[str, npt.NDArray[Any]]


def embed(raw: bytes, *shape: int) -> npt.NDArray[np.float32]:
    """Unit vectors float32 [..., D] that are different for different bytes."""
    random = np.random.default_rng(np.frombuffer(hashlib.sha256(raw).digest(), np.uint32))
    vectors = random.standard_normal(shape, dtype=np.float32)
    unit: npt.NDArray[np.float32] = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    return unit


def score(text: npt.NDArray[Any], frames: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Scores [Q, V] by the best frame, and attention [Q, V, F] that is all on it."""
    logits = np.einsum("qd,vfd->qvf", text, frames.astype(np.float32))
    attention = (logits == logits.max(-1, keepdims=True)).astype(np.float32)
    return logits.max(-1), attention


class ToyScorer:
    attends = True

    def score(self, text: Arrays, records: Arrays) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        return score(text[TEXT_EMBEDDING], records[FRAME_EMBEDDINGS])


class ToyServer(GRPCInferenceServiceServicer):
    """The ensembles, wired by hand. Videos are what their first bytes say: bad, slow, busy or good.

    Slow ones are answered once ``patient`` is set.
    """

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.requests: list[tuple[str, dict[str, tuple[int, ...]]]] = []
        self.received: list[Arrays] = []
        self.patience: dict[str, float] = {}
        self.parameters: dict[str, set[str]] = {}
        self.publics = public_models(manifest, gallery=gallery_told(os.environ.get("FRAMESIFT_GALLERY")))
        self.configs = {
            name: json_format.ParseDict(config(public), model_config_pb2.ModelConfig())
            for name, public in self.publics.items()
        }
        self.attends = any(port.name == ATTENTION for port in manifest.graphs[SCORER].outputs)
        self.is_ready = True
        self.patient = threading.Event()
        self.busy_answers = 0
        self.full_answers = 0
        self.index, self.lookup, self.search = GalleryIndex(), GalleryLookup(), GallerySearch()
        self.index.setup({}, folder)
        self.lookup.setup({}, folder)
        self.reader = None if manifest.features is None else FeatureReader()
        if self.reader is not None:
            self.reader.setup({}, folder)
        self.search._text = [TEXT_EMBEDDING]
        scorer = ToyScorer()
        scorer.attends = self.attends
        self.search.ranker = GraphRanker(scorer, F)
        gallery = gallery_from_env(manifest)
        self.search.facts = Facts(gallery.reader())
        self.search.snapshot = Snapshot(gallery.reader(), [FRAME_EMBEDDINGS], poll_s=0.01, facts=self.search.facts)
        self.search.selector = Selector(self.search.snapshot, self.search.facts)
        self.search.snapshot.start()

    def ServerReady(self, request: Any, context: Any) -> Any:  # noqa: N802 - named by gRPC
        return pb.ServerReadyResponse(ready=self.is_ready)

    def ModelMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802 - named by gRPC
        config = self.configs[request.name]
        batch = [-1] if config.max_batch_size else []
        return pb.ModelMetadataResponse(
            inputs=[
                pb.ModelMetadataResponse.TensorMetadata(
                    name=port.name,
                    datatype=model_config_pb2.DataType.Name(port.data_type).removeprefix("TYPE_"),
                    shape=[*batch, *port.dims],
                )
                for port in config.input
            ]
        )

    def ModelConfig(self, request: Any, context: Any) -> Any:  # noqa: N802 - named by gRPC
        return pb.ModelConfigResponse(config=self.configs[request.name])

    def ModelInfer(self, request: Any, context: Any) -> Any:  # noqa: N802 - named by gRPC
        arrays = {
            port.name: np.frombuffer(raw, triton_to_np_dtype(port.datatype)).reshape(port.shape)
            for port, raw in zip(request.inputs, request.raw_input_contents, strict=True)
        }
        self.requests.append((request.model_name, {name: array.shape for name, array in arrays.items()}))
        self.received.append(arrays)
        self.patience[request.model_name] = context.time_remaining()
        self.parameters[request.model_name] = set(request.parameters)
        model: Callable[[Arrays], Arrays | FramesiftError] | None = getattr(self, f"_{request.model_name}", None)
        if model is None:
            context.abort(grpc.StatusCode.NOT_FOUND, f"Request for unknown model: '{request.model_name}' is not found")
        try:
            options = read_options(request.parameters, self.publics[request.model_name])
            found = model({**arrays, OPTIONS: np.frombuffer(options, np.uint8)} if options else arrays)
        except FramesiftError as error:
            found = error
        except BlockingIOError:
            context.abort(grpc.StatusCode.UNAVAILABLE, "Exceeds maximum queue size")
        if isinstance(found, FramesiftError):
            message = f"in ensemble '{request.model_name}', failed: {found.wire()}"
            context.abort(grpc.StatusCode.INTERNAL, message)
        outputs = [
            pb.ModelInferResponse.InferOutputTensor(
                name=name, datatype=np_to_triton_dtype(array.dtype), shape=array.shape
            )
            for name, array in found.items()
        ]
        raw = [np.ascontiguousarray(array).tobytes() for array in found.values()]
        return pb.ModelInferResponse(model_name=request.model_name, outputs=outputs, raw_output_contents=raw)

    def _text(self, arrays: Arrays) -> npt.NDArray[np.float32]:
        rows = [row[:length].tobytes() for row, length in zip(arrays[TEXT], arrays[TEXT_LENGTH][:, 0], strict=True)]
        return np.stack([embed(row, D) for row in rows])

    def _search(self, arrays: Arrays) -> Arrays | FramesiftError:
        if self.full_answers > 0:
            self.full_answers -= 1
            return ServerUnavailable("the server is searching for 32 texts already")
        among = {name: arrays[name] for name in (TOP, OPTIONS, CANDIDATES, CANDIDATE_LENGTHS) if name in arrays}
        found = self.search.run([{TEXT_EMBEDDING: self._text(arrays), **among}])[0]
        if isinstance(found, dict) and not self.attends:
            found.pop(ATTENTION, None)
        if isinstance(found, dict) and self.reader is not None:
            del found[TIMESTAMPS]
        return found

    def _encode_video(self, arrays: Arrays) -> dict[str, npt.NDArray[Any]]:
        if self.reader is not None:
            return self._encode_features(arrays)
        raw = arrays[VIDEO][0].tobytes()
        if raw.startswith(b"bad"):
            raise InvalidVideo("the file is not a video")
        if raw.startswith(b"slow"):
            self.patient.wait(60)
        if raw.startswith(b"busy") and self.busy_answers > 0:
            self.busy_answers -= 1
            raise BlockingIOError
        return {
            FRAME_EMBEDDINGS: embed(raw, 1, F, D),
            MEAN_EMBEDDING: embed(raw, 1, D),
            TIMESTAMPS: np.array([[0.5, 1.5, 2.5]], np.float32),
            DURATION: np.array([[3.0]], np.float32),
        }

    def _encode_features(self, arrays: Arrays) -> dict[str, npt.NDArray[Any]]:
        (made,) = self.reader.run([arrays])
        if isinstance(made, FramesiftError):
            raise made
        raw = b"".join(made[name].tobytes() for name in sorted(made))
        return {FRAME_EMBEDDINGS: embed(raw, 1, F, D), MEAN_EMBEDDING: embed(raw, 1, D)}

    def _encode_frames(self, arrays: Arrays) -> Arrays:
        clips = [clip.tobytes() for clip in arrays[FRAMES]]
        return {
            FRAME_EMBEDDINGS: np.stack([embed(clip, F, D) for clip in clips]),
            MEAN_EMBEDDING: np.stack([embed(clip, D) for clip in clips]),
        }

    def _index_video(self, arrays: Arrays) -> Arrays | FramesiftError:
        return self.index.run([{**arrays, **self._encode_video(arrays)}])[0]

    def _gallery_lookup(self, arrays: Arrays) -> Arrays | FramesiftError:
        return self.lookup.run([arrays])[0]

    def _gallery_edit(self, arrays: Arrays) -> Arrays | FramesiftError:
        return self.lookup.run([arrays])[0]

    def _gallery_list(self, arrays: Arrays) -> Arrays | FramesiftError:
        return self.search.run([arrays])[0]

    def _score_text(self, arrays: Arrays) -> Arrays:
        scores, attention = score(self._text(arrays), arrays[FRAME_EMBEDDINGS])
        return {SCORES: scores, ATTENTION: attention} if self.attends else {SCORES: scores}


class Blocking:
    """An AsyncClient called as if it were a Client, so that one test is of both."""

    def __init__(self, address: str, timeout_s: float | None = 30.0, *, retry: bool = True) -> None:
        self._loop = asyncio.new_event_loop()
        self._client = AsyncClient(address, timeout_s, retry=retry)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return lambda *args, **options: self._loop.run_until_complete(getattr(self._client, name)(*args, **options))


@pytest.fixture
def manifest(request: pytest.FixtureRequest) -> Manifest:
    """Parametrized indirectly: what ``toy_manifest`` takes beside the sizes."""
    return toy_manifest(F, S, D, **getattr(request, "param", {}))


@pytest.fixture
def server(manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ToyServer]:
    monkeypatch.setenv("FRAMESIFT_GALLERY", str(tmp_path / "gallery"))
    (tmp_path / "manifest.json").write_text(manifest.to_json())
    server = ToyServer(tmp_path, manifest)
    yield server
    server.search.finalize()
    server.patient.set()


@pytest.fixture
def address(server: ToyServer) -> Iterator[str]:
    options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    host = grpc.server(ThreadPoolExecutor(8), options=options)
    add_GRPCInferenceServiceServicer_to_server(server, host)
    port = host.add_insecure_port("127.0.0.1:0")
    host.start()
    yield f"127.0.0.1:{port}"
    host.stop(None)


@pytest.fixture(params=[Client, Blocking], ids=["sync", "aio"])
def make_client(request: pytest.FixtureRequest) -> Iterator[Callable[..., Any]]:
    made = []

    def make(*args: Any, **options: Any) -> Any:
        made.append(request.param(*args, **options))
        return made[-1]

    yield make
    for client in made:
        client.close()


@pytest.fixture
def client(make_client: Callable[..., Any], address: str) -> Any:
    return make_client(address)


@pytest.fixture
def wait_for_version(server: ToyServer) -> Callable[[int], None]:
    def wait(version: int) -> None:
        until(lambda: server.search.snapshot.view.version >= version)

    return wait
