"""The published layouts of annotation files.

MSR-VTT, LSMDC, MSVD and DiDeMo are read as the loaders of X-Pool and of the CLIP4Clip family read them. MSVD's
``raw-captions.pkl`` is a pickle and is not read; ``captions_msvd.json`` holds the same.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from ..bundle.errors import InvalidInput
from .reading import Faults, lines, read_json, read_text

Pair = tuple[str, str]
_VIDEO, _SENTENCE = "video_id", "sentence"
_LSMDC_FIELDS = 6


def read_annotations(file: Path, data: Path | None) -> list[Pair]:
    """The (video, caption) pairs of a file, in its order; see ``load_captions``."""
    listed = _list_of_ids(file)
    if listed is not None:
        if data is None:
            raise InvalidInput(
                f"{file} lists videos without captions: give the file that has them, e.g. MSRVTT_data.json, as data"
            )
        return _chosen(file, listed, _json_pairs(data))
    if data is not None:
        raise InvalidInput(f"{file} has captions of its own, so {data} has no use")
    readers: dict[str, Callable[[Path], list[Pair]]] = {".jsonl": _jsonl, ".json": _json_pairs, ".csv": _csv}
    if file.suffix.lower() not in readers:
        raise InvalidInput(f"{file} is none of {', '.join([*readers, '.txt'])}: its layout is told by its suffix")
    return readers[file.suffix.lower()](file)


def _list_of_ids(file: Path) -> list[tuple[str, str]] | None:
    """(line, id) of a file that has ids alone, None of another."""
    if file.suffix.lower() == ".txt":
        return [(where, line.strip()) for where, line in lines(file)]
    if file.suffix.lower() != ".csv" or _is_lsmdc(file) or _SENTENCE in (header := _header(file)):
        return None
    if _VIDEO not in header:
        raise InvalidInput(
            f"{file} can't be used:\n  line 1: the columns are {', '.join(header) or 'none'}: "
            f"MSR-VTT's has {_VIDEO} and {_SENTENCE}, LSMDC's has {_LSMDC_FIELDS} fields with tabs between"
        )
    faults = Faults(file)
    found = [(where, row[_VIDEO]) for where, row in _rows(file, faults)]
    faults.demand_none()
    return found


def _chosen(file: Path, listed: Iterable[tuple[str, str]], pairs: Iterable[Pair]) -> list[Pair]:
    captions: dict[str, list[str]] = {}
    for video, caption in pairs:
        captions.setdefault(video, []).append(caption)
    faults, found, seen = Faults(file), [], set()
    for where, video in listed:
        if video in seen:
            faults.add(where, f"{video!r} is listed twice")
        elif video not in captions:
            faults.add(where, f"{video!r} has no captions in the data")
        seen.add(video)
        found += [(video, caption) for caption in captions.get(video, ())]
    faults.demand_none()
    return found


def _jsonl(file: Path) -> list[Pair]:
    """The manifest of ``framesift finetune``; the videos themselves need not be there."""
    faults, found = Faults(file), []
    for where, line in lines(file):
        try:
            row = json.loads(line)
        except (json.JSONDecodeError, RecursionError) as error:
            faults.add(where, f"not JSON: {error}")
            continue
        video = row.get("video") if isinstance(row, dict) else None
        captions = row.get("captions", [row.get("caption")]) if isinstance(row, dict) else None
        if not isinstance(video, str) or not video.strip():
            faults.add(where, 'needs a "video", the id under which it was indexed')
        elif not isinstance(captions, list) or not captions or not all(map(_is_text, captions)):
            faults.add(where, "captions must be a list of at least one text")
        else:
            found += [(video, caption) for caption in captions]
    faults.demand_none()
    return found


def _csv(file: Path) -> list[Pair]:
    return _lsmdc(file) if _is_lsmdc(file) else _msrvtt_csv(file)


def _msrvtt_csv(file: Path) -> list[Pair]:
    """MSR-VTT 1k-A: ``key,vid_key,video_id,sentence``, of which the last two count."""
    faults, found = Faults(file), []
    for where, row in _rows(file, faults):
        if _is_text(row[_SENTENCE]):
            found.append((row[_VIDEO], row[_SENTENCE]))
        else:
            faults.add(where, "the sentence is empty")
    faults.demand_none()
    return found


def _is_lsmdc(file: Path) -> bool:
    return "\t" in next((line for _, line in lines(file)), "")


def _lsmdc(file: Path) -> list[Pair]:
    """LSMDC: clip, start and end aligned, start and end extracted, sentence; tabs between and no header."""
    faults, found = Faults(file), []
    for where, line in lines(file):
        fields = line.strip().split("\t")
        if len(fields) != _LSMDC_FIELDS or not _is_text(fields[0]) or not _is_text(fields[-1]):
            faults.add(where, f"needs {_LSMDC_FIELDS} fields with tabs between, a clip first and a sentence last")
        else:
            found.append((fields[0], fields[-1]))
    faults.demand_none()
    return found


def _json_pairs(file: Path) -> list[Pair]:
    if file.suffix.lower() != ".json":
        raise InvalidInput(f"{file} is no .json file: captions by id stand in MSRVTT_data.json and its like")
    value = read_json(file)
    faults = Faults(file)
    if isinstance(value, list):
        found = _entries(value, "", "video", "description", faults)
        found = [(video, " ".join(texts)) for video, texts in _by_video(found).items()]
    elif isinstance(value, dict) and isinstance(value.get("sentences"), list):
        found = _entries(value["sentences"], "sentences", _VIDEO, "caption", faults)
    elif isinstance(value, dict):
        found = _msvd(value, faults)
    else:
        raise InvalidInput(f"{file} can't be used: its JSON is neither an object nor a list")
    faults.demand_none()
    return found


def _entries(entries: list[Any], name: str, video: str, caption: str, faults: Faults) -> list[Pair]:
    """MSR-VTT's sentences and DiDeMo's moments: objects with a video and a text each.

    DiDeMo is evaluated by paragraph: all descriptions of a video, in the file's order, are one query.
    """
    found = []
    for place, entry in enumerate(entries):
        if isinstance(entry, dict) and _is_text(entry.get(video)) and _is_text(entry.get(caption)):
            found.append((entry[video], entry[caption]))
        else:
            faults.add(f"entry {name}[{place}]", f"needs a {video!r} and a {caption!r}, both texts")
    return found


def _msvd(value: dict[str, Any], faults: Faults) -> list[Pair]:
    """MSVD: the captions of every video by its id."""
    found = []
    for video, captions in value.items():
        if video and isinstance(captions, list) and captions and all(map(_is_text, captions)):
            found += [(video, caption) for caption in captions]
        else:
            faults.add(f"entry {video!r}", "must be a list of at least one text")
    return found


def _by_video(pairs: Iterable[Pair]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for video, caption in pairs:
        found.setdefault(video, []).append(caption)
    return found


def _header(file: Path) -> list[str]:
    try:
        return next(csv.reader(io.StringIO(read_text(file), newline="")), [])
    except csv.Error as error:
        raise InvalidInput(f"{file} can't be used:\n  line 1: {error}") from error


def _rows(file: Path, faults: Faults) -> list[tuple[str, dict[str, str]]]:
    reader = csv.DictReader(io.StringIO(read_text(file), newline=""))
    found = []
    try:
        for row in reader:
            where = f"line {reader.line_num}"
            if None in row or None in row.values():
                faults.add(where, f"needs {len(reader.fieldnames or [])} fields, as the header has")
            elif not row[_VIDEO].strip():
                faults.add(where, f"the {_VIDEO} is empty")
            else:
                found.append((where, row))
    except csv.Error as error:
        faults.add(f"line {reader.reader.line_num}", str(error))
    return found


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())
