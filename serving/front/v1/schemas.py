"""The values that requests and answers below /v1 consist of: JSON Schema, as OpenAPI 3.1 takes it."""

from __future__ import annotations

from typing import Any

from ....export.bundle.limits import (
    MAX_CANDIDATES,
    MAX_ID_BYTES,
    MAX_METADATA_BYTES,
    MAX_SOURCE_BYTES,
    MAX_TEXT_BYTES,
    MAX_TOP,
)

Schema = dict[str, Any]


def ref(name: str) -> Schema:
    """A schema of ``SCHEMAS`` by its name."""
    return {"$ref": f"#/components/schemas/{name}"}


def obj(told: str, needed: Schema, further: Schema | None = None) -> Schema:
    """An object: the fields that it has, and those that it may have."""
    fields = {"type": "object", "description": told, "properties": {**needed, **(further or {})}}
    return {**fields, "required": [*needed]} if needed else fields


def array(items: Schema, told: str = "", **limits: Any) -> Schema:
    """A list."""
    return {"type": "array", "items": items, **({"description": told} if told else {}), **limits}


def number(told: str, kind: str = "number", **limits: Any) -> Schema:
    """A number, or a whole one."""
    return {"type": kind, "description": told, **limits}


def text(told: str, **limits: Any) -> Schema:
    """A text."""
    return {"type": "string", "description": told, **limits}


def or_null(schema: Schema) -> Schema:
    """The same, or nothing."""
    return {**schema, "type": [schema["type"], "null"]}


ID = text(f"The video's id, at most {MAX_ID_BYTES} bytes of UTF-8.", minLength=1)
SOURCE = text(f"Where the video came from, a path or an address; at most {MAX_SOURCE_BYTES} bytes.")
METADATA = {
    "type": "object",
    "description": f"What else is known of the video; at most {MAX_METADATA_BYTES} bytes of JSON.",
    "additionalProperties": True,
}
SEGMENT_SECONDS = text("Cut the film into segments of so many seconds, each found by itself.")
OVERLAP = text("Seconds that a segment shares with the one before it; less than a segment has.")
_SECONDS, _SHARE = number("Seconds."), number("What changes of a picture where a shot begins.")
_CUTTING = obj("How it was cut.", {"seconds": _SECONDS, "overlap": _SECONDS}, {"shots": _SHARE})
_VERSION = number("The gallery's version: it grows with every change.", "integer")
_TEXT = text(f"What the video shows, in words; at most {MAX_TEXT_BYTES} bytes of UTF-8.", minLength=1)
_VIDEO = {
    "id": ID,
    "source": SOURCE,
    "duration": or_null(number("Seconds; null for a video that came as features.")),
    "metadata": METADATA,
}

SCHEMAS: dict[str, Schema] = {
    "SearchRequest": {
        **obj(
            "A search by one text, by several with an answer each, by a video of the gallery, or by a text and that. "
            "A field that is null is as if it was left out.",
            {},
            {
                "text": _TEXT,
                "like": {
                    **ID,
                    "description": "Search with the video of this id, alone or beside a text.",
                },
                "segment": number("Which segment of that video, from 0, where it has several.", "integer", minimum=0),
                "weight": number("The share of the video beside a text; half of it by default.", minimum=0, maximum=1),
                "include": {"type": "boolean", "description": "Whether it may be a hit itself; not by default."},
                "texts": array(_TEXT, "Several texts instead of one.", minItems=1, maxItems=32),
                "top": number(
                    # A default told as such makes the field needed in the types that are generated for TypeScript.
                    f"Hits of each text, 10 by default. All texts together have at most {MAX_TOP}.",
                    "integer",
                    minimum=1,
                    maximum=MAX_TOP,
                ),
                "where": text("Search among the videos that this filter lets through.", minLength=1),
                "min_score": number("Leave hits of a lower score out."),
                "after": text("The `next` of the page before, of the same search."),
                "offset": number("Leave so many of the best hits out.", "integer", minimum=0),
                "model": text("The alias of the model that answers, of a server that has several."),
                "segments": {
                    "type": "boolean",
                    "description": "Make each segment of a film a hit; else a film is one, by its best segment.",
                },
                "partial": {
                    "type": "boolean",
                    "description": "Of a gallery in shards: take what some find where others don't answer.",
                },
                "candidates": array(
                    ID, "Search among the videos of these ids alone.", minItems=1, maxItems=MAX_CANDIDATES
                ),
            },
        ),
        "additionalProperties": False,
    },
    "SearchResponse": obj(
        "The answers to all texts, in their order.",
        {
            "results": array(ref("SearchResult")),
            "exact": {
                "type": "boolean",
                "description": "Whether every video was scored. False for a model that scores a short list alone, and "
                "where a coarse stage chose what to score.",
            },
            "seconds": number("How long the server took, from the request's arrival."),
        },
    ),
    "SearchResult": obj(
        "The best videos for one text, best first.",
        {
            "query": text("The text; empty of a search with a video alone."),
            "version": _VERSION,
            "cut": {
                "type": "boolean",
                "description": "Whether the text is longer than the model reads: its end had no part in the search.",
            },
            "shortlist": or_null(
                obj(
                    "Where candidates came from, where another model chose them.",
                    {
                        "system": text("That model's system."),
                        "fingerprint": text("That model."),
                        "version": number("Its gallery's version.", "integer"),
                        "chosen": number("Candidates.", "integer"),
                        "missing": array(ID, "Those that this gallery has not."),
                        "unlisted": number("Videos of this gallery that the other one has not.", "integer"),
                    },
                )
            ),
            "among": or_null(number("Videos that were searched.", "integer")),
            "next": or_null(text("What to ask for as `after`; null on the last page.")),
            "hits": array(ref("Hit")),
        },
        {
            "exact": {
                "type": "boolean",
                "description": "Whether the hits are surely the best, where the server leaves videos out.",
            },
            "rescored": number("How many videos were scored for that.", "integer"),
            "recall": number(
                "The share of the best that the coarse stage led to when it was calibrated, where the server has one."
            ),
            "like": text("What was searched with in the place of a text, or beside it: an id, or a file's name."),
            "missing": array(
                text("Its number and how many there are."), "Shards that did not answer a partial search."
            ),
        },
    ),
    "Hit": obj(
        "A video that was found.",
        {
            "id": ID,
            "score": or_null(number("Larger is better.")),
            "moment": or_null(number("Seconds at which the frame with the most weight is shown.")),
            "attention": or_null(
                array({"type": ["number", "null"]}, "The weight of each frame; null where the model weighs none.")
            ),
            "timestamps": array({"type": "number"}, "Seconds at which each frame is shown."),
            "source": or_null(SOURCE),
            "duration": or_null(number("Seconds; null for a video that came as features.")),
            "metadata": or_null(METADATA),
            "segment": or_null(
                obj(
                    "The part of the video that was found; null where it is all of it.",
                    {
                        "number": number("Which of its segments, from 0.", "integer"),
                        "start": number("Seconds."),
                        "end": number("Seconds."),
                    },
                )
            ),
        },
    ),
    "Models": obj(
        "The server's models, each with a gallery of its own.",
        {
            "models": array(
                obj(
                    "A model.",
                    {
                        "name": text("As the server was started with it."),
                        "system": text("Its system."),
                        "fingerprint": text("What tells it from all others."),
                        "ready": {"type": "boolean", "description": "Whether its searches are answered."},
                        "writing": number("Requests to it that are no searches and have not ended.", "integer"),
                    },
                )
            ),
            "aliases": {
                "type": "object",
                "description": "The name of the model that answers, by alias.",
                "additionalProperties": {"type": "string"},
            },
            "default": text("The alias that answers requests which choose none."),
        },
    ),
    "Switch": {
        **obj(
            "An alias, and the model that is to answer to it from now on.",
            {"alias": text("The alias."), "model": text("The model's name.")},
        ),
        "additionalProperties": False,
    },
    "Gallery": obj(
        "What answers: a model, and the gallery that it fills and searches.",
        {
            "system": text("The model's system."),
            "fingerprint": text("The model."),
            "takes": array(text("The kind of file."), "What the model reads of a video: video, features, or both."),
            "max_video_bytes": or_null(number("The most bytes of a video.", "integer")),
            "files": {"type": "boolean", "description": "Whether the server may read files of videos."},
            "like": or_null(
                text("How a video can be searched with: alone, or also beside a text; null where it can't.")
            ),
            "count": number("Videos in the gallery.", "integer"),
            "version": _VERSION,
        },
    ),
    "Video": obj(
        "What is known of a video.",
        {
            **_VIDEO,
            "segments": number("How many segments it is kept in; 1 where it is not cut.", "integer"),
            "cutting": or_null(_CUTTING),
        },
    ),
    "VideoPage": obj(
        "Videos of one version of the gallery, in the order in which they were indexed.",
        {
            "videos": array(ref("Video")),
            "next": or_null(text("What to ask for as `after`; null on the last page.")),
            "count": number("Videos in the gallery, or those that the filter lets through.", "integer"),
            "version": _VERSION,
        },
    ),
    "Changed": obj(
        "A video that was changed or removed.",
        {"id": ID, "version": _VERSION, "count": number("Videos in the gallery.", "integer")},
    ),
    "Indexed": obj(
        "A video that is in the gallery, durably; searches see it within a second.",
        {
            "id": ID,
            "version": _VERSION,
            "count": number("Videos in the gallery.", "integer"),
            "digest": text("The SHA-256 of the file, cut or not, in hexadecimal digits; of two files, of both."),
        },
    ),
    "SearchForm": obj(
        "A search with a film, a still image or a feature file, which is kept nowhere.",
        {},
        {
            "video": text("The file of a film or a still image.", format="binary"),
            "features": text("A feature file, for a model that reads features.", format="binary"),
            "search": text("The other fields of a SearchRequest as JSON, but texts, like, segment, include and model."),
            "id": {**ID, "description": "What the answer calls it; without one the file's name or its SHA-256."},
        },
    ),
    "UploadForm": obj(
        "A video in a form.",
        {},
        {
            "video": text("The video's file.", format="binary"),
            "features": text("Its feature file, for a model that reads features.", format="binary"),
            "id": ID,
            "source": SOURCE,
            "metadata": text("An object of JSON, as text."),
            "segment_seconds": SEGMENT_SECONDS,
            "overlap": OVERLAP,
        },
    ),
    "Problem": obj(
        "An error: problem details, RFC 9457.",
        {
            "type": text("Always about:blank: `code` tells errors apart."),
            "title": text("The status in words."),
            "status": number("The HTTP status.", "integer"),
            "detail": text("What was wrong, and what to do."),
            "code": text("The error's class, such as invalid-request, invalid-video, access or unavailable."),
        },
    ),
}
