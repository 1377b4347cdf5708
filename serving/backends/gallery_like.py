"""A video, of the gallery or just encoded, to the text record that finds videos like it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from ...export.bundle.errors import BundleError, FramesiftError, InvalidRequest, InvalidVideo
from ...export.bundle.like import PREFIX, text_fault
from ...export.bundle.ports import LIKE_ENCODER, SEGMENTS, TEXT_ENCODER
from ...export.bundle.sessions import cpu_session
from ...export.bundle.spec import TensorSpec
from ...export.bundle.store import read_manifest
from ..gallery.environment import readers_from_env
from ..gallery.reader import Reader
from ..gallery.rows import column
from ..gallery.shard import part_of
from ..search.options import Options
from .base import Arrays, Backend

Floats = npt.NDArray[np.float32]


class GalleryLike(Backend):
    """Reads ``options``, see ``search.options``, whose ``like`` is the id of a video of the gallery, and ``segment``
    the number of its segment where it has several.

    Where a request has the tensors of a video record instead, float32 [1, ...] with ``like.PREFIX`` before their names,
    they are rounded as the gallery keeps them, so a video that was kept and one that is sent give the same. Where it
    has a text record in the same way, both are mixed, tensor by tensor: (1 - w) of the text and w of the video, with
    the options' ``weight`` for w. Writes the text record float32 [1, ...].

    That is a mean of both queries, because such a record is affine in the text's normalised vector: a dot product is
    then the mean of both scores, and top-K attention weighs frames by the mean of both queries. See docs/likes.md.
    """

    session: ort.InferenceSession
    # One for each shard, where the gallery is in shards.
    readers: Sequence[Reader]
    inputs: Sequence[TensorSpec]
    text: Sequence[str]
    beside: str = ""

    def setup(self, config: dict[str, Any], folder: Path) -> None:
        """Load the graph, and open the gallery or make it."""
        manifest = read_manifest(folder)
        try:
            self.session = cpu_session(folder / f"{LIKE_ENCODER}.onnx", 1)
        except Exception as error:
            raise BundleError(f"the bundle's {LIKE_ENCODER} can't be loaded: {error}") from error
        self.inputs = [port.unbatched() for port in manifest.graphs[LIKE_ENCODER].inputs]
        self.text = [port.name for port in manifest.graphs[TEXT_ENCODER].outputs]
        self.beside = text_fault(manifest)
        self.readers = readers_from_env(manifest)

    def run(self, inputs: Sequence[Mapping[str, np.ndarray[Any, Any]]]) -> list[Arrays | FramesiftError]:
        """Each request on its own."""
        return [self._one(request) for request in inputs]

    def _one(self, request: Mapping[str, np.ndarray[Any, Any]]) -> Arrays | FramesiftError:
        try:
            options = Options.of(request) or Options()
            sent = {spec.name: request[PREFIX + spec.name] for spec in self.inputs if PREFIX + spec.name in request}
            if bool(sent) == bool(options.like):
                raise InvalidRequest("a search by a video has either the id of one of the gallery, or brings one")
            record = self._rounded(sent) if sent else self._kept(options.like, options.segment)
            found = dict(zip(self.text, self.session.run(self.text, record), strict=True))
            if PREFIX + self.text[0] in request:
                found = self._mixed(found, request, options.weight)
        except FramesiftError as error:
            return error
        return found

    def _kept(self, id_: str, segment: int | None) -> dict[str, Floats]:
        """The record of a video of the gallery, or of a segment of one; None for a video that has one alone."""
        reader = self.readers[part_of(id_, len(self.readers))]
        reader.advance()
        columns = [SEGMENTS, *(spec.name for spec in self.inputs)]
        for batch in reader.named([id_], columns, segment=segment or 0):
            if batch.num_rows:
                if segment is None and (count := batch.column(SEGMENTS)[0].as_py()) > 1:
                    raise InvalidRequest(
                        f"{id_[:100]!r} is kept in {count} segments, which differ: say which you mean with segment, 0 "
                        f"to {count - 1}, as a hit tells it, or send that part of it"
                    )
                held = {spec.name: column(batch, spec.name, spec.shape)[:1] for spec in self.inputs}
                return {name: values.astype(np.float32) for name, values in held.items()}
        if count := reader.most_rows([id_]):
            raise InvalidRequest(f"{id_[:100]!r} has the segments 0 to {count - 1}, and no {segment}")
        raise InvalidRequest(f"the gallery has no video {id_[:100]!r} to search with")

    def _rounded(self, sent: Mapping[str, npt.NDArray[Any]]) -> dict[str, Floats]:
        """The record of a video that was just encoded, as the gallery would have kept it."""
        with np.errstate(over="ignore", invalid="ignore"):
            held = {spec.name: sent[spec.name].astype(spec.stored).astype(np.float32) for spec in self.inputs}
        if not all(np.isfinite(values).all() and values.any() for values in held.values()):
            raise InvalidVideo("nothing can be compared with what the model makes of the video: search by another")
        return held

    def _mixed(
        self, video: Mapping[str, Floats], request: Mapping[str, npt.NDArray[Any]], weight: float
    ) -> dict[str, Floats]:
        if self.beside:
            raise InvalidRequest(self.beside)
        share = np.float32(weight)
        return {name: (1 - share) * request[PREFIX + name] + share * values for name, values in video.items()}
