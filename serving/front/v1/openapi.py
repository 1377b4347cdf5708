"""The description of what is answered below /v1: OpenAPI 3.1, from which clients are generated."""

from __future__ import annotations

from typing import Any

from ....export.bundle.limits import MAX_TOP
from ..aliases import FIELD
from ..roles import CALLS
from ..tokens import ROLES
from .schemas import ID, METADATA, OVERLAP, SCHEMAS, SEGMENT_SECONDS, SOURCE, Schema, number, ref, text

_JSON = "application/json"
_PROBLEM = {"application/problem+json": {"schema": ref("Problem")}}
_PROBLEMS = {
    "400": "Something in the request can't be; `detail` says what.",
    "401": "The server needs a token, or does not know this one.",
    "403": "The token lacks a role, or a page of another site asked.",
    "404": "There is no such thing.",
    "413": "The request is too large.",
    "503": "The server has too much to do, or is being started again: try again after `Retry-After` seconds.",
}
_FILM = {"video/*": {"schema": text("The file's bytes.", format="binary")}}
_FILES = {
    "200": {"description": "The whole file.", "content": _FILM},
    "206": {"description": "The range, or its beginning: ask again for the rest.", "content": _FILM},
    "304": {"description": "The file is as it was."},
    "416": {"description": "The range lies behind the file's end."},
}
_MERGE = {
    "type": "boolean",
    "default": False,
    "description": "Lay the object over the metadata that is there, and leave out what is null in it.",
}
_RANGE = {"name": "Range", "in": "header", "schema": text("A single range of bytes, such as bytes=0-.")}

_MODEL = {
    "name": FIELD,
    "in": "query",
    "required": False,
    "schema": text("The alias of the model that answers, of a server that has several."),
}


def description(version: str) -> dict[str, Any]:
    """The document of framesift's ``version``."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "framesift",
            "version": version,
            "summary": "Search videos by text.",
            "description": "Everything is also served over gRPC, at the same address; limits, roles and fairness are "
            "the same for both.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/", "description": "The server that this comes from."}],
        "security": [{}, {"token": []}],
        "tags": [{"name": "search"}, {"name": "videos"}, {"name": "models"}],
        "paths": {
            "/v1/search": {
                "post": {
                    **_operation("search", "search", "The best videos for a text, or for a video"),
                    "requestBody": {
                        "required": True,
                        "content": {
                            _JSON: {"schema": ref("SearchRequest")},
                            "multipart/form-data": {"schema": ref("SearchForm")},
                        },
                    },
                    "responses": _answers("200", "The best videos.", "SearchResponse"),
                }
            },
            "/v1/models": {
                "get": {
                    **_operation("listModels", "models", "The server's models and their aliases"),
                    "responses": _answers("200", "The models.", "Models"),
                },
                "put": {
                    **_operation("moveAlias", "models", "Have an alias answered by another model"),
                    "requestBody": {"required": True, "content": {_JSON: {"schema": ref("Switch")}}},
                    "responses": _answers("200", "The models, as of now.", "Models"),
                },
            },
            "/v1/gallery": {
                "get": {
                    **_operation("getGallery", "videos", "What the gallery is"),
                    "parameters": [_MODEL],
                    "responses": _answers("200", "The gallery.", "Gallery"),
                },
            },
            "/v1/video/file": {
                "get": {
                    **_operation("getVideoFile", "videos", "A video's file, where the server may read it"),
                    "parameters": [_query("id", ID, required=True), _MODEL, _RANGE],
                    "responses": _FILES | _problems(),
                },
            },
            "/v1/video": {
                "get": {
                    **_operation("getVideo", "videos", "What is known of a video"),
                    "parameters": [_query("id", ID, required=True), _MODEL],
                    "responses": _answers("200", "The video.", "Video"),
                },
                "patch": {
                    **_operation("updateVideo", "videos", "Change a video's metadata"),
                    "parameters": [_query("id", ID, required=True), _query("merge", _MERGE), _MODEL],
                    "requestBody": {"required": True, "content": {_JSON: {"schema": METADATA}}},
                    "responses": _answers("200", "The metadata is changed.", "Changed"),
                },
                "delete": {
                    **_operation("deleteVideo", "videos", "Remove a video"),
                    "parameters": [_query("id", ID, required=True), _MODEL],
                    "responses": _answers("200", "The video is gone.", "Changed"),
                },
            },
            "/v1/videos": {
                "get": {
                    **_operation("listVideos", "videos", "The videos in the order of indexing"),
                    "parameters": [
                        _query("top", number("Videos of a page.", "integer", minimum=1, maximum=MAX_TOP, default=100)),
                        _query("after", text("The `next` of the page before.")),
                        _query("where", text("List the videos that this filter lets through.", minLength=1)),
                        _MODEL,
                    ],
                    "responses": _answers("200", "A page of them.", "VideoPage"),
                },
                "post": {
                    **_operation("indexVideo", "videos", "Put a video into the gallery, or replace it"),
                    "parameters": [
                        _query("id", {**ID, "description": "Its id; without one the file's name or its SHA-256."}),
                        _query("source", SOURCE),
                        _query("metadata", text("An object of JSON, as text.")),
                        _MODEL,
                        _query("segment_seconds", SEGMENT_SECONDS),
                        _query("overlap", OVERLAP),
                    ],
                    "requestBody": {
                        "required": True,
                        "description": "The file as it is, or in a form. Its length has to be told.",
                        "content": {
                            "application/octet-stream": {"schema": text("The file's bytes.", format="binary")},
                            "video/*": {"schema": text("The file's bytes.", format="binary")},
                            "multipart/form-data": {"schema": ref("UploadForm")},
                        },
                    },
                    "responses": _answers("201", "The video is in the gallery.", "Indexed"),
                },
            },
        },
        "components": {
            "schemas": SCHEMAS,
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A token of `framesift token`, where the server wants one.",
                }
            },
        },
    }


def _operation(name: str, tag: str, summary: str) -> dict[str, Any]:
    roles = " or ".join(role for role in ROLES if role in CALLS[name])
    told = f"{summary}. Where the server has tokens, it takes the role {roles}."
    return {"operationId": name, "tags": [tag], "summary": summary, "description": told}


def _query(name: str, schema: Schema, *, required: bool = False) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": required, "schema": schema}


def _problems() -> dict[str, Any]:
    return {code: {"description": told, "content": _PROBLEM} for code, told in _PROBLEMS.items()}


def _answers(status: str, told: str, schema: str) -> dict[str, Any]:
    answer = {"description": told, "content": {_JSON: {"schema": ref(schema)}}}
    return {status: answer, **_problems()}
