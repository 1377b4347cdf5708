"""What an id, a source, metadata, a query, a filter and ``top`` may be: the same rules for client and server."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Container, Iterable, Mapping
from numbers import Integral
from typing import Any, TypeVar

from .errors import InvalidFeatures, InvalidInput, InvalidQuery, InvalidRequest, InvalidVideo
from .limits import (
    MAX_FEATURE_BYTES,
    MAX_ID_BYTES,
    MAX_METADATA_BYTES,
    MAX_METADATA_DEPTH,
    MAX_SOURCE_BYTES,
    MAX_TEXT_BYTES,
    MAX_TOP,
    MAX_VIDEO_BYTES,
    MAX_WHERE_BYTES,
)

# Unicode's categories. A zero byte would end a text on the wire, and a line break would break every table that it is
# printed in. Of two ids that differ in what nobody sees, one can pass for the other.
_BREAKING = {"Cc": "a control character", "Zl": "a line separator", "Zp": "a paragraph separator"}
_UNSEEN = {**_BREAKING, "Cf": "a format character", "Cs": "half a character"}
# Unicode's property Default_Ignorable_Code_Point, which is no category and which Python does not know: letters, marks
# and unassigned characters that are drawn as nothing. And the one pattern of Braille that has no dot.
_DRAWN_AS_NOTHING = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u2800\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
# Behind a symbol, or between a digit and a keycap, these two make an emoji, or a plain sign of it, which is seen.
_OF_EMOJI, _KEYCAP = "\ufe0e\ufe0f", "\u20e3"
# What a feature file is called.
# Sent as the features of a film that has none, to a model that reads both: a JSON object without a name.
NO_FEATURES = b"{}"
FEATURE_SUFFIXES = (".npz", ".safetensors")
TAG_SUFFIX = ".json"
# Of a SHA-256.
DIGEST_BYTES = 32
_ALIAS = re.compile(r"[a-z][a-z0-9_-]{0,39}", re.ASCII)

Item = TypeVar("Item")


def listed(values: Iterable[Item], what: str, error: type[InvalidInput] = InvalidRequest) -> list[Item]:
    """The values as a list; ``what`` names them in messages.

    Raises:
        InvalidInput: as ``error``: one text, which would be taken letter by letter, or what can't be iterated over.
    """
    if isinstance(values, str):
        raise error(f"the {what} are one text, {values[:50]!r}: give a list of them")
    try:
        return list(values)
    except Exception as failure:
        raise error(f"the {what} are {type(values).__name__}: give a list of them") from failure


def check_id(value: str) -> str:
    """The id itself.

    Raises:
        InvalidRequest: no text, empty, over ``MAX_ID_BYTES`` as UTF-8, with characters that aren't seen themselves,
            or with outer white space.
    """
    if not isinstance(value, str):
        raise InvalidRequest(f"the id is {type(value).__name__}, it must be a text")
    if not value:
        raise InvalidRequest("the id is empty: every video needs one")
    if value != value.strip():
        raise InvalidRequest(f"the id {value!r} begins or ends with white space: strip it")
    seen = frozenset[int]()
    # Of what is printable there is no joiner, and a client stays light.
    if not value.isprintable():
        from .joiners import seen_joiners

        seen = seen_joiners(value)
    _check_text(value, "id", MAX_ID_BYTES, _UNSEEN, seen)
    for found in () if value.isascii() else _DRAWN_AS_NOTHING.finditer(value):
        if found.start() not in seen and not _of_emoji(value, found.start()):
            raise InvalidRequest(
                f"the id {value!a} holds a character that is drawn as nothing at character {found.start()}, "
                f"U+{ord(found[0]):04X}: remove it"
            )
    return value


def check_source(value: str) -> str:
    """The source itself: where the video came from, a path or an address; may be empty.

    Raises:
        InvalidRequest: no text, over ``MAX_SOURCE_BYTES`` as UTF-8, or with control characters or line breaks.
    """
    if not isinstance(value, str):
        raise InvalidRequest(f"the source is {type(value).__name__}, it must be a text")
    return _check_text(value, "source", MAX_SOURCE_BYTES, _BREAKING)


def check_alias(value: str) -> str:
    """The alias itself, by which clients choose one of a server's models.

    Raises:
        InvalidRequest: anything but small letters, digits, - and _, which begin with a letter, 40 at most.
    """
    if not isinstance(value, str) or not _ALIAS.fullmatch(value):
        raise InvalidRequest(
            f"the model's name is {value!r:.60}, it must have small letters, digits, - and _, a letter first, 40 of "
            "them at most"
        )
    return value


def check_top(value: object, most: int = MAX_TOP) -> int:
    """The number of hits itself.

    Raises:
        InvalidRequest: no whole number, or outside 1..``most``.
    """
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise InvalidRequest(f"top is {type(value).__name__}, it must be a whole number")
    top = int(value)
    if not 1 <= top <= most:
        raise InvalidRequest(f"top is {top}, it must lie in 1..{most}")
    return top


def check_filter(value: object) -> str:
    """The text of a filter itself; what it says is the server's to read.

    Raises:
        InvalidRequest: no text, empty or white space alone, or over ``MAX_WHERE_BYTES`` as UTF-8.
    """
    if not isinstance(value, str):
        raise InvalidRequest(f"where is {type(value).__name__}, it must be a text")
    if not value.strip():
        raise InvalidRequest("the filter is empty: write one, such as 'duration < 30', or leave it out for all videos")
    if len(value.encode("utf-8", "surrogatepass")) > MAX_WHERE_BYTES:
        raise InvalidRequest(f"the filter has more than {MAX_WHERE_BYTES} bytes: name candidates instead")
    return value


def check_digest(value: bytes) -> bytes:
    """The digest itself.

    Raises:
        InvalidRequest: not the 32 bytes of a SHA-256.
    """
    if len(value) != DIGEST_BYTES:
        raise InvalidRequest(f"the digest has {len(value)} bytes, a SHA-256 has {DIGEST_BYTES}")
    return value


def encode_text(text: str) -> bytes:
    """The UTF-8 of a query.

    Raises:
        InvalidQuery: no text, empty or white space alone, not Unicode, or over ``MAX_TEXT_BYTES``.
    """
    if not isinstance(text, str):
        raise InvalidQuery(f"the text is {type(text).__name__}, it must be a str")
    check_text_left(text)
    try:
        raw = text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InvalidQuery(f"the text can't be written as UTF-8: {error.reason} at character {error.start}") from error
    check_text_size(len(raw))
    return raw


def check_text_left(text: str) -> None:
    """Refuse a query, as it came or cleaned, in which there is nothing to read.

    Raises:
        InvalidQuery: empty, or white space alone.
    """
    if not text.strip():
        raise InvalidQuery("the text is empty, or nothing is left of it after cleaning")


def check_text_size(size: int) -> None:
    """Refuse a query of more than ``MAX_TEXT_BYTES``.

    Raises:
        InvalidQuery: ``size`` bytes are more.
    """
    if size > MAX_TEXT_BYTES:
        raise InvalidQuery(f"the text has {size} bytes, the limit is {MAX_TEXT_BYTES}: shorten it")


def check_feature_bytes(size: int) -> None:
    """Refuse a feature file of more than ``MAX_FEATURE_BYTES``.

    Raises:
        InvalidFeatures: ``size`` bytes are more.
    """
    if size > MAX_FEATURE_BYTES:
        raise InvalidFeatures(
            f"the feature file has {size} bytes, the limit is {MAX_FEATURE_BYTES}: leave out rows, or save float16"
        )


def check_video_bytes(size: int, limit: int = MAX_VIDEO_BYTES) -> None:
    """Refuse a video's file of more than ``limit`` bytes.

    Raises:
        InvalidVideo: ``size`` bytes are more.
    """
    if size > limit:
        raise InvalidVideo(
            f"the video has {size} bytes, the limit is {limit}: index it in segments, framesift index "
            f"--segment-seconds, compress it, or raise the limit: framesift serve --video-limit bytes={size}"
        )


def dump_metadata(value: Mapping[str, Any]) -> str:
    """The JSON text of a metadata object.

    Raises:
        InvalidRequest: not an object, holds what JSON has no form for, or over ``MAX_METADATA_BYTES``.
    """
    if not isinstance(value, Mapping):
        raise InvalidRequest(f"the metadata is {type(value).__name__}, it must be an object of names and values")
    try:
        text = json.dumps(dict(value), allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    # Beside what JSON has no form for, whatever a caller's own mapping raises.
    except Exception as error:
        raise InvalidRequest(f"the metadata can't be written as JSON: {error}") from error
    return check_metadata(text)


def check_metadata(text: str) -> str:
    """The metadata text itself.

    Raises:
        InvalidRequest: not a JSON object, over ``MAX_METADATA_BYTES``, or nested deeper than ``MAX_METADATA_DEPTH``.
    """
    size = len(_utf8(text, "metadata"))
    if size > MAX_METADATA_BYTES:
        raise InvalidRequest(f"the metadata has {size} bytes, the limit is {MAX_METADATA_BYTES}")
    try:
        value = json.loads(text)
        # Python also reads NaN, Infinity and lone surrogates, which no reader of JSON has to.
        json.dumps(value, allow_nan=False, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"the metadata is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise InvalidRequest(f"the metadata is a JSON {type(value).__name__}, it must be an object")
    # Whoever shows metadata reads it within something else, and whoever filters by it at another depth of calls.
    if text.count("[") + text.count("{") > MAX_METADATA_DEPTH and _deeper(value, MAX_METADATA_DEPTH):
        raise InvalidRequest(f"the metadata is nested more than {MAX_METADATA_DEPTH} deep: make it flatter")
    return text


def _deeper(value: Any, most: int) -> bool:
    """Whether lists and objects of JSON are nested more than ``most`` deep."""
    level = [value]
    for _ in range(most):
        nested = (each.values() if isinstance(each, dict) else each for each in level)
        level = [inner for each in nested for inner in each if isinstance(inner, dict | list)]
        if not level:
            return False
    return True


def _check_text(value: str, what: str, limit: int, refused: Mapping[str, str], seen: Container[int] = ()) -> str:
    size = len(_utf8(value, what))
    if size > limit:
        raise InvalidRequest(f"the {what} has {size} bytes, the limit is {limit}: shorten it")
    # None of the refused can be printed, and most texts can.
    for place, character in () if value.isprintable() else enumerate(value):
        kind = refused.get(unicodedata.category(character))
        if kind is not None and place not in seen:
            raise InvalidRequest(
                f"the {what} {value!a} holds {kind} at character {place}, U+{ord(character):04X}: remove it"
            )
    return value


def _of_emoji(value: str, place: int) -> bool:
    """Whether what stands there says how the character in front of it is drawn."""
    symbol = place > 0 and unicodedata.category(value[place - 1]).startswith("S")
    return value[place] in _OF_EMOJI and (symbol or value[place + 1 : place + 2] == _KEYCAP)


def _utf8(value: str, what: str) -> bytes:
    try:
        return value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InvalidRequest(f"the {what} {value!r} can't be written as UTF-8: {error.reason}") from error
