"""The bundle's manifest: every value that was chosen at export."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from .errors import BundleError
from .features.profile import FeatureArray, FeatureProfile
from .ports import GRAPHS, LIKE_ENCODER
from .spec import GraphPorts, TensorSpec

FORMAT = 4


CLIP_CLEANING = "ftfy+html+whitespace+lower"
# What BERT's authors do, and the same after a sentence without an end has got a full stop.
BERT_CLEANING = "bert+lower"
# Nothing is done to a text of which whole words are looked up.
WORDS_CLEANING = "words"
SENTENCE_CLEANING = "full-stop+bert+lower"


@dataclass(frozen=True)
class TokenizerProfile:
    """How a text becomes token ids.

    ``kind`` is one of ``text.tokenizers.TOKENIZERS`` and ``files`` are its vocabulary's, beside the manifest.
    ``context_length`` counts the start and end tokens. ``buckets`` are the lengths to which a batch is padded with
    ``pad_id``: where the text tower is causal and is read at the end token, what follows that token can't reach the
    sentence's embedding, so the shortest bucket that fits gives the same result; where every position counts there is
    one bucket, ``context_length``.

    Where ``sliced_from`` is given, a text is cut to that many positions, end token and all, and padded; of those the
    first ``context_length`` are taken, whatever they are. A long text so loses its end token (STAN).
    """

    kind: str = "clip_bpe"
    files: tuple[str, ...] = ("merges.txt.gz",)
    context_length: int = 77
    pad_id: int = 0
    buckets: tuple[int, ...] = (16, 32, 77)
    sliced_from: int | None = None
    cleaning: str = CLIP_CLEANING


@dataclass(frozen=True)
class FrameProfile:
    """How a video becomes pixels.

    ``count`` frames chosen by ``sampler``, the short side resized to ``size`` by ``resize``, then ``crop``; the rules
    are those of ``video.sampling`` and ``video.resizing``. Where a video has fewer frames, ``missing`` says what takes
    their places: the last frame again (``repeat``), zeros after normalisation with a mask that leaves them out
    (``mask``), or nothing (``none``).

    ``together`` frames are a clip, where the sampler takes clips.

    ``mean`` and ``std`` of RGB from 0 to 255 are for the reader: the video encoder's graph normalises.
    """

    count: int = 12
    size: int = 224
    sampler: str = "uniform_middle"
    resize: str = "pil_bicubic"
    crop: str = "center"
    missing: str = "repeat"
    mean: tuple[float, float, float] = (122.7709383, 116.7460125, 104.09373615)
    std: tuple[float, float, float] = (68.5005327, 66.6321579, 70.32316305)
    together: int = 1

    @property
    def dtype(self) -> str:
        """Numpy's name of the pixels' type: uint8, or float32 from 0 to 255 and, as bicubic gives, a little beyond."""
        return "float32" if self.resize.startswith("tensor_") else "uint8"


@dataclass(frozen=True)
class FilmProfile:
    """How a whole film becomes pixels, for networks that read it from its beginning to its end.

    ``seconds`` are single pictures that keep their sides, ``clips`` pictures in clips of ``clips.together``, the last
    one filled up with black. ``count`` is the most of either: a longer film is refused.
    """

    seconds: FrameProfile
    clips: FrameProfile


@dataclass(frozen=True)
class Manifest:
    """What a bundle is. ``options`` are the system's own; ``files`` the SHA-256 of every file beside it.

    ``frames`` is None where a video brings no pictures, ``film`` where it brings no whole film, and ``features`` where
    it brings no features; it brings one of them at least.

    ``fingerprint`` names the model: the same checkpoint and options give the same fingerprint whatever wrote the
    graphs, and a gallery accepts only records of its own fingerprint.
    """

    system: str
    scorer: str
    fingerprint: str
    embed_dim: int
    frames: FrameProfile | None
    tokenizer: TokenizerProfile
    graphs: Mapping[str, GraphPorts]
    options: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    parity: tuple[Mapping[str, Any], ...] = ()
    features: FeatureProfile | None = None
    film: FilmProfile | None = None

    @property
    def pictures(self) -> FrameProfile:
        """How frames are read, of a model that reads any.

        Raises:
            BundleError: it reads features alone.
        """
        if self.frames is None:
            brought = "features of a video and no frames" if self.film is None else "whole films and no chosen frames"
            raise BundleError(f"{self.system} reads {brought}")
        return self.frames

    @property
    def pixels(self) -> str:
        """Numpy's name of the pixels' type, whether or not there are any."""
        return (self.frames or FrameProfile()).dtype

    @property
    def frame_count(self) -> int:
        """F, the frames that a video is encoded from; 0 where it brings none."""
        return 0 if self.frames is None else self.frames.count

    def to_json(self) -> str:
        """The manifest as JSON text."""
        return json.dumps({"format": FORMAT, **asdict(self)}, indent=2) + "\n"

    @staticmethod
    def from_json(text: str) -> Manifest:
        """Read a manifest. What it says is not judged here, see ``manifest_checks``.

        Raises:
            BundleError: not JSON, of another format, or with a field missing or unknown.
        """
        try:
            values = json.loads(text)
            found = values.pop("format")
        except (ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
            raise BundleError(f"the manifest can't be read: {str(error)[:200]}") from error
        if type(found) is not int or found != FORMAT:
            raise BundleError(
                f"the manifest has format {ascii(found)[:40]}, this framesift reads format {FORMAT}: export it again"
            )
        try:
            tokenizer, frames, features = values.pop("tokenizer"), values.pop("frames"), values.pop("features", None)
            film = values.pop("film", None)
            graphs = {name: _graph(ports) for name, ports in values.pop("graphs").items()}
            manifest = Manifest(
                frames=None if frames is None else _frames(frames),
                features=None if features is None else _features(features),
                film=None if film is None else FilmProfile(**{name: _frames(part) for name, part in film.items()}),
                tokenizer=TokenizerProfile(
                    **{**tokenizer, **{name: tuple(tokenizer[name]) for name in ("files", "buckets")}}
                ),
                graphs=graphs,
                parity=tuple(values.pop("parity")),
                **values,
            )
        except (TypeError, KeyError, AttributeError, ValueError) as error:
            raise BundleError(f"the manifest is not complete: {str(error)[:200]}") from error
        if set(graphs) - {LIKE_ENCODER} != set(GRAPHS):
            raise BundleError(f"the manifest lists the graphs {sorted(graphs)}, expected {sorted(GRAPHS)}")
        return manifest


def _frames(values: Mapping[str, Any]) -> FrameProfile:
    return FrameProfile(**{**values, "mean": tuple(values["mean"]), "std": tuple(values["std"])})


def _features(values: Mapping[str, Any]) -> FeatureProfile:
    arrays = tuple(FeatureArray(**{**row, "dims": tuple(row["dims"])}) for row in values["arrays"])
    return FeatureProfile(**{**values, "arrays": arrays})


def _graph(ports: Mapping[str, Any]) -> GraphPorts:
    def read(rows: list[dict[str, Any]]) -> tuple[TensorSpec, ...]:
        return tuple(TensorSpec(**{**row, "dims": tuple(row["dims"])}) for row in rows)

    return GraphPorts(read(ports["inputs"]), read(ports["outputs"]))
