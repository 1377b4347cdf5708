"""A corpus on disk: JSON lines of video path and captions."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ..bundle.errors import InvalidInput


@dataclass(frozen=True)
class Clip:
    """One video with its captions.

    ``group`` names a set of hard negatives: clips of one group are trained in the same batch.
    """

    video: Path
    captions: tuple[str, ...]
    group: str | None = None


def read_manifest(path: str | os.PathLike[str]) -> list[Clip]:
    """Read a manifest; video paths are relative to its folder.

    Each line is ``{"video": "a.mp4", "captions": ["..."], "group": "optional"}``; ``"caption": "..."`` serves for one.

    Raises:
        InvalidInput: no such file, or lines that don't fit; all of them are listed by number.
    """
    file = Path(path)
    if not file.is_file():
        raise InvalidInput(f"there is no manifest at {file}")
    clips, faults = [], []
    try:
        # JSON may hold other characters that end a line elsewhere.
        lines = file.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = f"{error.reason} at byte {error.start}" if isinstance(error, UnicodeDecodeError) else error.strerror
        raise InvalidInput(f"{file} can't be read as UTF-8: {reason}") from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            clips.append(_clip(json.loads(line), file.parent))
        except json.JSONDecodeError as error:
            faults.append(f"line {number}: not JSON: {error.msg}")
        except (ValueError, KeyError, OSError, RecursionError) as error:
            reason = f"has no {error}" if isinstance(error, KeyError) else str(error)
            faults.append(f"line {number}: {reason[:200]}")
    if faults:
        more = f"\n  and {len(faults) - 20} more" if len(faults) > 20 else ""
        raise InvalidInput(f"{file} can't be used:\n  " + "\n  ".join(faults[:20]) + more)
    if not clips:
        raise InvalidInput(f"{file} is empty: it needs one JSON object a line with video and captions")
    return clips


def _clip(row: object, folder: Path) -> Clip:
    if not isinstance(row, dict):
        raise ValueError("it must be an object with video and captions")
    video = row["video"]
    captions = row["captions"] if "captions" in row else [row["caption"]]
    if not isinstance(video, str) or not video:
        raise ValueError("video must be a path")
    if not isinstance(captions, list) or not captions or not all(isinstance(c, str) and c.strip() for c in captions):
        raise ValueError("captions must be a list of at least one text")
    # JSON can name halves of characters, which no text holds.
    " ".join((video, *captions)).encode("utf-8")
    path = folder / video
    if not path.is_file():
        raise ValueError(f"there is no video at {path}")
    group = row.get("group")
    if not isinstance(group, str | int | None):
        raise ValueError("group must be a name")
    return Clip(path, tuple(captions), None if group is None else str(group))


def write_manifest(path: Path, clips: Iterable[Clip]) -> None:
    """Write a manifest with video paths relative to its folder."""
    with path.open("w", encoding="utf-8") as stream:
        for clip in clips:
            row: dict[str, object] = {
                "video": str(clip.video.relative_to(path.parent)),
                "captions": clip.captions,
            }
            if clip.group is not None:
                row["group"] = clip.group
            stream.write(json.dumps(row, ensure_ascii=False) + "\n")
