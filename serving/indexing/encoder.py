"""A video file to a row of the gallery, by the very bodies that Triton server's models have."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
from google.protobuf import json_format

from ...export.bundle.errors import BundleError, FramesiftError, InvalidRequest, InvalidVideo
from ...export.bundle.manifest import Manifest
from ...export.bundle.models import FEATURE_READER, VIDEO_DECODER
from ...export.bundle.packing import pack_rows
from ...export.bundle.ports import DIGEST, ID, METADATA, PART, SOURCE, VIDEO, VIDEO_ENCODER
from ...export.bundle.segments import Cutting
from ...export.bundle.spec import TensorSpec
from ...export.bundle.video.part import Part
from ...export.bundle.video.shots_found import parts_of
from ..backends.base import Backend
from ..backends.feature_reader import FeatureReader
from ..backends.gallery_index import entry_of
from ..backends.onnxruntime import OnnxRuntime
from ..backends.video_decoder import VideoDecoder
from ..client.films import FilmFile, check_cut
from ..gallery.rows import Row
from ..gallery.schema import GallerySchema
from ..repository.config import render
from ..repository.plan import plan
from ..repository.served import Model
from .video import Reached

_READERS: Mapping[str, type[Backend]] = {VIDEO_DECODER: VideoDecoder, FEATURE_READER: FeatureReader}
_CUDA = "CUDAExecutionProvider"


class Encoder:
    """Makes rows of videos, one at a time: the steps of the ensemble ``index_video`` up to the gallery.

    A video is a batch of its own. Films are decoded in a sandbox, within the limits that the environment names.

    Attributes:
        takes: the names of the tensors that the files of a video are.
    """

    def __init__(self, folder: Path, manifest: Manifest, *, threads: int = 1, gpu: int | None = None) -> None:
        """Open the graph and start the decoder.

        Args:
            folder: holds the manifest, the video encoder's graph, and the vocabulary where the model reads tags.
            threads: run one operator of the graph.
            gpu: the number of the GPU that runs the graph.

        Raises:
            BundleError: the graph can't be opened, or there is no CUDA for a GPU.
        """
        if gpu is not None and _CUDA not in ort.get_available_providers():
            raise BundleError("this ONNX Runtime has no CUDA: pip install 'framesift[gpu]' there, or leave --gpu out")
        self._schema = GallerySchema.of(manifest)
        models = {served.name: served for served in plan(manifest) if isinstance(served, Model)}
        self._readers = {name: _READERS[name]() for name in _READERS if name in models}
        for name, reader in self._readers.items():
            reader.name = name
            reader.setup({}, folder)
        self._encoder = OnnxRuntime()
        self._encoder.name, self._encoder.gpu = VIDEO_ENCODER, gpu
        self._encoder.parameters = {"intra_op_thread_count": str(threads)}
        config = render(models[VIDEO_ENCODER], "embedded")
        config.default_model_filename = f"{VIDEO_ENCODER}.onnx"
        self._encoder.setup(json_format.MessageToDict(config, preserving_proto_field_name=True), folder)
        self.takes = frozenset(model.inputs[0].name for name, model in models.items() if name in self._readers)
        self._largest = {port.name: _largest(port, manifest) for port in models[VIDEO_ENCODER].inputs}

    def rows(
        self,
        files: Mapping[str, npt.NDArray[Any]],
        id_: str,
        source: str,
        digest: bytes,
        metadata: str,
        cutting: Cutting | None = None,
        reached: Callable[[Reached], object] = lambda _: None,
    ) -> list[Row]:
        """Encode a video, all of it or segment by segment, and check its records.

        Args:
            files: uint8 [1, N], the content of the film, of the feature file, or of both, by the names of the tensors.
            reached: called behind each segment.

        Raises:
            FramesiftError: a file that is refused, or a record that can't be kept.
        """
        if cutting is None:
            return [self._row(files, id_, source, digest, metadata)]
        check_cut(self.takes, files)
        draft, rows = uuid4().hex, list[Row]()
        told = self._shots(files, cutting, draft) if cutting.shots else []
        while not rows or len(rows) < rows[0].entry.segment.total:
            part = told[len(rows)] if told else Part(len(rows), draft, cutting)
            rows.append(self._row(files, id_, source, digest, metadata, part))
            reached(Reached(len(rows), rows[0].entry.segment.total))
        return _whole(rows)

    def rows_of_pieces(
        self,
        pieces: Iterable[FilmFile],
        id_: str,
        source: str,
        metadata: str,
        reached: Callable[[Reached], object] = lambda _: None,
    ) -> list[Row]:
        """Encode a film that comes in pieces, segment by segment.

        Raises:
            FramesiftError: as ``rows``.
        """
        rows = list[Row]()
        for piece in pieces:
            files, digest = piece.brought.tensors(self.takes), piece.film_digest
            assert digest is not None
            check_cut(self.takes, files)
            for part in piece.cut.parts:
                rows.append(self._row(files, id_, source, digest, metadata, part))
                reached(Reached(len(rows), rows[0].entry.segment.total))
        return _whole(rows)

    def _shots(self, files: Mapping[str, npt.NDArray[Any]], cutting: Cutting, draft: str) -> list[Part]:
        """The segments of a film that begin with its shots."""
        decoder = self._readers[VIDEO_DECODER]
        assert isinstance(decoder, VideoDecoder)
        return parts_of(cutting, decoder.sandbox.shots(files[VIDEO][0], cutting.shots), draft)

    def _row(
        self,
        files: Mapping[str, npt.NDArray[Any]],
        id_: str,
        source: str,
        digest: bytes,
        metadata: str,
        part: Part | None = None,
    ) -> Row:
        if absent := sorted(self.takes - files.keys()):
            raise InvalidRequest(f"the model reads {' and '.join(sorted(self.takes))}, there is no {absent[0]} here")
        tensors: dict[str, npt.NDArray[Any]] = {
            **files,
            ID: pack_rows([id_.encode()]),
            SOURCE: pack_rows([source.encode()]),
            DIGEST: np.frombuffer(digest, np.uint8)[None],
            METADATA: pack_rows([metadata.encode()]),
            **({} if part is None else {PART: pack_rows([part.json().encode()])}),
        }
        for reader in self._readers.values():
            tensors |= _one(reader, tensors)
        tensors |= _one(self._encoder, {name: tensors[name] for name in self._largest})
        row = Row.of(entry_of(tensors, 0, self._schema), self._schema)
        # The tensors as they are kept are in the row, and that is what passes between processes.
        return replace(row, entry=replace(row.entry, tensors={}))

    def warm_up(self) -> None:
        """Run the graph once, on the largest video: from then on the process holds all that it takes for any."""
        _one(self._encoder, {name: np.ones(shape, dtype) for name, (shape, dtype) in self._largest.items()})

    def close(self) -> None:
        """End the process that decodes."""
        for reader in self._readers.values():
            if isinstance(reader, VideoDecoder):
                reader.finalize()


def _whole(rows: list[Row]) -> list[Row]:
    """The rows of a film, which are all of its segments: what says so is a process that a film may have taken over.

    Raises:
        InvalidVideo: they are not.
    """
    if not rows or [row.entry.segment[:2] for row in rows] != [(place, len(rows)) for place in range(len(rows))]:
        raise InvalidVideo("the rows of the film are not all of its segments: the film is damaged, leave it out")
    return rows


def _largest(port: TensorSpec, manifest: Manifest) -> tuple[tuple[int, ...], str]:
    """The shape, with a batch of one, and the dtype of an input; of films, of the longest, twice as wide as high."""
    sizes: dict[str, int] = {}
    if (film := manifest.film) is not None:
        side = film.seconds.size
        sizes = {"seconds": film.seconds.count, "height": side, "width": 2 * side}
        sizes["clips"] = -(-film.clips.count // film.clips.together)
    return (1, *(size if isinstance(size, int) else sizes[size] for size in port.dims)), port.dtype


def _one(backend: Backend, request: Mapping[str, npt.NDArray[Any]]) -> Mapping[str, npt.NDArray[Any]]:
    (answer,) = backend.run([request])
    if isinstance(answer, FramesiftError):
        raise answer
    return answer
