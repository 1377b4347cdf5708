"""What a bundle's manifest may say. A bundle can come from anybody, so names are of a fixed set and numbers bounded."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from typing import Any, get_args

from .errors import BundleError
from .features.profile import FeatureProfile
from .features.rules import RULE_NAMES
from .limits import MAX_CLIP_BYTES, MAX_FILM_FRAMES, MAX_FRAMES, MAX_POSITIONS, MAX_RECORD_BYTES, MAX_SIDE, MAX_WIDTH
from .manifest import FilmProfile, FrameProfile, Manifest, TokenizerProfile
from .ports import FILM_CLIPS, FILM_SECONDS, FRAMES, GRAPHS, LIKE_ENCODER, TEXT_ENCODER, VIDEO_ENCODER
from .spec import DATA_TYPES, TensorSpec
from .text.tokenizers import TOKENIZERS
from .video.names import ResizeName, SamplerName

WEIGHTS = "weights.safetensors"
# Every file that a bundle can have beside its manifest, whatever the manifest says.
FILES = frozenset(
    {WEIGHTS}
    | {f"{graph}.onnx" for graph in (*GRAPHS, LIKE_ENCODER)}
    | {f"{kind.file}{ending}" for kind in TOKENIZERS.values() for ending in ("", ".gz")}
)
# Names that stand in configurations, in file names and in a shell script.
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
_PORT = re.compile(r"[a-z][a-z0-9_]{0,63}")
_ARRAY = re.compile(r"[a-z0-9][a-z0-9_.]{0,63}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_DIMENSIONS = ("batch", "length", "queries", "videos", "seconds", "clips", "height", "width")
_LARGEST_PIXEL = 1e6
_LONGEST_ROW_S = 1e6
_MOST_PORTS, _MOST_DIMS, _MOST_BUCKETS, _MOST_ARRAYS = 16, 6, 16, 64


def check_manifest(manifest: Manifest) -> Manifest:
    """The manifest itself.

    Raises:
        BundleError: a name outside the fixed set, a value of another kind, or a number beyond its bounds.
    """
    for what, value in (
        ("system", manifest.system),
        ("scorer", manifest.scorer),
        ("fingerprint", manifest.fingerprint),
    ):
        if not isinstance(value, str) or not _PLAIN.fullmatch(value):
            raise _fault(what, value, "a plain name of letters, digits, dots and dashes")
    _whole("embed_dim", manifest.embed_dim, MAX_WIDTH)
    for name, ports in manifest.graphs.items():
        for side in (ports.inputs, ports.outputs):
            _ports(name, side)
    _video(manifest)
    _tokenizer(manifest.tokenizer)
    _like(manifest)
    _files(manifest.files, (*(f"{graph}.onnx" for graph in manifest.graphs), *manifest.tokenizer.files))
    for what, mapping in (("options", manifest.options), ("versions", manifest.versions)):
        if not isinstance(mapping, Mapping):
            raise _fault(what, mapping, "an object of names and values")
    if not all(isinstance(row, Mapping) for row in manifest.parity):
        raise _fault("parity", manifest.parity, "a list of comparisons")
    return manifest


def _video(manifest: Manifest) -> None:
    if manifest.frames is None and manifest.features is None and manifest.film is None:
        raise BundleError("the manifest says neither how frames nor how features are read: export it again")
    if manifest.features is not None:
        _features(manifest.features)
    if manifest.film is not None:
        _film(manifest, manifest.film)
    profile, first = manifest.frames, manifest.graphs[VIDEO_ENCODER].inputs[0]
    if profile is None:
        if any(port.name == FRAMES for port in manifest.graphs[VIDEO_ENCODER].inputs):
            raise BundleError("the manifest's video encoder takes frames, but it has no frame profile: export it again")
        return
    _frames(profile)
    _one_of("frames.crop", profile.crop, ("center",))
    _one_of("frames.missing", profile.missing, ("mask", "repeat"))
    pixels = ("batch", profile.count, 3, profile.size, profile.size)
    if (first.name, first.dtype, first.dims) != (FRAMES, profile.dtype, pixels):
        raise BundleError(
            f"the manifest's video encoder takes {first.name} {first.dtype} {list(first.dims)}, but its frame profile "
            f"makes {FRAMES} {profile.dtype} {list(pixels)}: export it again"
        )


def _features(profile: FeatureProfile) -> None:
    _one_of("features.rule", profile.rule, RULE_NAMES)
    names = [array.name for array in profile.arrays]
    if not 1 <= len(names) <= _MOST_ARRAYS or len(set(map(str, names))) != len(names):
        raise _fault("features.arrays", names, f"1 to {_MOST_ARRAYS} arrays of different names")
    for array in profile.arrays:
        what = f"features.{array.name!a:.60}"
        if not isinstance(array.name, str) or not _ARRAY.fullmatch(array.name):
            raise _fault("features.arrays", array.name, "arrays with names of small letters, digits, _ and dots")
        if not 1 <= len(array.dims) <= _MOST_DIMS:
            raise _fault(f"{what}.dims", f"{len(array.dims)} dimensions", f"1 to {_MOST_DIMS}")
        for dim in array.dims:
            if not isinstance(dim, str):
                _whole(f"{what}.dims", dim, MAX_WIDTH)
            elif not _PORT.fullmatch(dim):
                raise _fault(f"{what}.dims", dim, "a number or a name")
        for name, value in (("optional", array.optional), ("zeros", array.zeros), ("unread", array.unread)):
            if not isinstance(value, bool):
                raise _fault(f"{what}.{name}", value, "true or false")
        seconds = array.seconds
        if seconds is not None and not (type(seconds) in (int, float) and 0 < seconds < _LONGEST_ROW_S):
            raise _fault(f"{what}.seconds", seconds, "a number above 0, or null")


def _film(manifest: Manifest, film: FilmProfile) -> None:
    if manifest.frames is not None or manifest.features is not None:
        raise BundleError("the manifest says that a whole film is read, and something else beside it: export it again")
    for profile, crop in ((film.seconds, "none"), (film.clips, "center")):
        _frames(profile, MAX_FILM_FRAMES)
        _one_of("film.crop", profile.crop, (crop,))
        _one_of("film.missing", profile.missing, ("none",))
    size, together = film.clips.size, film.clips.together
    wanted = (
        TensorSpec(FILM_SECONDS, "uint8", ("batch", "seconds", 3, "height", "width")),
        TensorSpec(FILM_CLIPS, "uint8", ("batch", "clips", together, 3, size, size)),
    )
    found = manifest.graphs[VIDEO_ENCODER].inputs
    if [(port.name, port.dtype, port.dims) for port in found] != [(p.name, p.dtype, p.dims) for p in wanted]:
        raise BundleError(f"the manifest's video encoder takes no film in clips of {together}: export it again")


def _frames(profile: FrameProfile, most: int = MAX_FRAMES) -> None:
    _whole("frames.count", profile.count, most)
    _whole("frames.size", profile.size, MAX_SIDE)
    _whole("frames.together", profile.together, profile.count)
    if profile.count % profile.together:
        raise _fault("frames.together", profile.together, f"a divisor of {profile.count} frames")
    _one_of("frames.sampler", profile.sampler, get_args(SamplerName))
    _one_of("frames.resize", profile.resize, get_args(ResizeName))
    for what, values in (("mean", profile.mean), ("std", profile.std)):
        if len(values) != 3 or not all(type(value) in (int, float) and abs(value) < _LARGEST_PIXEL for value in values):
            raise _fault(f"frames.{what}", values, "three numbers")
    size = 3 * profile.count * profile.size**2 * (4 if profile.dtype == "float32" else 1)
    if size > MAX_CLIP_BYTES:
        raise BundleError(
            f"the manifest's frame profile makes {size} bytes of one video, the limit is {MAX_CLIP_BYTES}: fewer or "
            "smaller frames"
        )


def _tokenizer(profile: TokenizerProfile) -> None:
    _one_of("tokenizer.kind", profile.kind, tuple(TOKENIZERS))
    file = TOKENIZERS[profile.kind].file
    if profile.files not in ((file,), (f"{file}.gz",)):
        raise _fault("tokenizer.files", list(profile.files), f"[{file!r}] or [{file + '.gz'!r}]")
    _whole("tokenizer.context_length", profile.context_length, MAX_POSITIONS)
    _whole("tokenizer.pad_id", profile.pad_id, 1 << 31, least=0)
    if len(profile.buckets) > _MOST_BUCKETS:
        raise _fault("tokenizer.buckets", f"{len(profile.buckets)} lengths", f"at most {_MOST_BUCKETS}")
    for bucket in profile.buckets:
        _whole("tokenizer.buckets", bucket, profile.context_length)
    if profile.sliced_from is not None:
        _whole("tokenizer.sliced_from", profile.sliced_from, MAX_POSITIONS)
    if not isinstance(profile.cleaning, str):
        raise _fault("tokenizer.cleaning", profile.cleaning, "a name")


def _like(manifest: Manifest) -> None:
    """What searches by a video reads its record and writes a text's."""
    if (like := manifest.graphs.get(LIKE_ENCODER)) is None:
        return
    record, text = (manifest.graphs[name].outputs for name in (VIDEO_ENCODER, TEXT_ENCODER))
    if not set(like.inputs) <= set(record) or like.outputs != text:
        raise BundleError(f"the manifest's {LIKE_ENCODER} fits neither its records nor its texts: export it again")


def _files(files: Mapping[str, str], needed: Collection[str]) -> None:
    if not isinstance(files, Mapping):
        raise _fault("files", files, "an object of names and SHA-256 hashes")
    if strangers := sorted(name for name in files if name not in FILES):
        raise _fault("files", strangers, f"among {', '.join(sorted(FILES))}")
    for name, digest in files.items():
        if not isinstance(digest, str) or not _SHA256.fullmatch(digest):
            raise _fault(f"files.{name}", digest, "a SHA-256 in hexadecimal")
    # What is not listed is not compared with anything, and may be a link to a file of the reader's.
    if missing := sorted(set(needed) - files.keys()):
        raise BundleError(f"the manifest lists no {', '.join(missing)}: export it again")


def _ports(graph: str, ports: tuple[TensorSpec, ...]) -> None:
    if not 1 <= len(ports) <= _MOST_PORTS or len({str(port.name) for port in ports}) != len(ports):
        raise _fault(f"graphs.{graph}", f"{len(ports)} tensors", f"1 to {_MOST_PORTS} tensors of different names")
    for port in ports:
        if not isinstance(port.name, str) or not _PORT.fullmatch(port.name):
            raise _fault(f"graphs.{graph}", port.name, "tensors with names of small letters, digits and underscores")
        what = f"graphs.{graph}.{port.name}"
        _one_of(f"{what}.dtype", port.dtype, tuple(name for name in DATA_TYPES if name != "object"))
        _one_of(f"{what}.stored", port.stored, ("float16", "float32"))
        if not isinstance(port.scored, bool):
            raise _fault(f"{what}.scored", port.scored, "true or false")
        if not 1 <= len(port.dims) <= _MOST_DIMS:
            raise _fault(f"{what}.dims", f"{len(port.dims)} dimensions", f"1 to {_MOST_DIMS}")
        for dim in port.dims:
            if isinstance(dim, str):
                _one_of(f"{what}.dims", dim, _DIMENSIONS)
            else:
                _whole(f"{what}.dims", dim, MAX_RECORD_BYTES)
        values = math.prod(dim for dim in port.dims if isinstance(dim, int))
        if port.name != FRAMES and values * 8 > MAX_RECORD_BYTES:
            raise _fault(f"{what}.dims", list(port.dims), f"at most {MAX_RECORD_BYTES // 8} numbers")


def _whole(what: str, value: Any, most: int, *, least: int = 1) -> None:
    if type(value) is not int or not least <= value <= most:
        raise _fault(what, value, f"a whole number from {least} to {most}")


def _one_of(what: str, value: Any, known: Collection[str]) -> None:
    if not isinstance(value, str) or value not in known:
        raise _fault(what, value, f"one of {', '.join(known)}")


def _fault(what: str, value: Any, wanted: str) -> BundleError:
    return BundleError(f"the manifest's {what} is {value!a:.120}, it must be {wanted}")
