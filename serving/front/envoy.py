"""Envoy, which speaks HTTP and TLS and holds the application in its process: its configuration and command line.

Written here and not by pyvoy's launcher, which would open Envoy's admin interface: whoever reaches that can stop the
door. Only what stands here listens.
"""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ...export.bundle.errors import ServerStartError
from ...export.bundle.limits import MAX_REQUEST_BYTES
from .body import PATIENCE_S, SLOWEST
from .overload import TYPES, overload_manager
from .sending import UNREAD_S

APPLICATION = "framesift.serving.front.application:app"
# Streams of one connection, and what Envoy holds of each before the application has read it. All together fit into the
# connection's window: uploads that wait for their turn would keep those whose turn it is from arriving.
_STREAMS = 256
_STREAM_WINDOW = 256 << 10
_CONNECTION_WINDOW = _STREAMS * _STREAM_WINDOW
_BUFFER = 1 << 20
_HEADERS_KB = 32
# A request's headers, the longest silence (a video may wait until others were decoded), and all of a request: what the
# largest may take once its turn has come. The door itself looks at what each takes, and says in words what is too slow.
_HEADERS_S = 10
_IDLE_S = 900
_REQUEST_S = _IDLE_S + math.ceil(PATIENCE_S + MAX_REQUEST_BYTES / SLOWEST)
# A connection without a request; and until its first byte, or the end of its TLS handshake.
_SILENT_S = 60
_FIRST_S = 5
# What is told of a path with an escape, as the application would tell it.
_ESCAPED = {
    "type": "about:blank",
    "title": "Not Found",
    "status": 404,
    "detail": "no path here has an escape: an id stands in the query string, as in /v1/video?id=...",
    "code": "not-found",
}


def configuration(
    host: str, port: int, transport: Mapping[str, Any] | None = None, *, descriptors: int = 1024
) -> dict[str, Any]:
    """Envoy's configuration: one listener, and nothing beside it.

    Args:
        host: IPv4 address to listen on.
        transport: of connections that are encrypted, see ``certificates``.
        descriptors: that its process may have.
    """
    chain: dict[str, Any] = {
        "transport_socket_connect_timeout": f"{_FIRST_S}s",
        "filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": _connection_manager()}],
    }
    if transport is not None:
        chain["transport_socket"] = transport
    # pyvoy runs an application of its own, with an event loop, for every listener: there can be no second one.
    listener: dict[str, Any] = {
        "name": "door",
        "address": {"socket_address": {"address": host, "port_value": port}},
        # Another process of the same user could listen on the same port beside it, unseen.
        "enable_reuse_port": False,
        "per_connection_buffer_limit_bytes": _BUFFER,
        # Whoever leaves so much unread on the connection itself, whether or not its answer is complete.
        "per_connection_buffer_high_watermark_timeout": f"{UNREAD_S:g}s",
        "filter_chains": [chain],
    }
    if transport is None:
        # It waits for a first line, and who sends none is not waited for any longer. A handshake does the same.
        inspector = f"{TYPES}.filters.listener.http_inspector.v3.HttpInspector"
        listener["listener_filters"] = [
            {"name": "envoy.filters.listener.http_inspector", "typed_config": {"@type": inspector}}
        ]
        listener["listener_filters_timeout"] = f"{_FIRST_S}s"
    return {
        "static_resources": {"listeners": [listener]},
        "overload_manager": overload_manager(descriptors),
    }


def _connection_manager() -> dict[str, Any]:
    return {
        "@type": f"{TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "door",
        "generate_request_id": False,
        # The peer is whoever connects, not whom its headers name.
        "use_remote_address": True,
        "skip_xff_append": True,
        "max_request_headers_kb": _HEADERS_KB,
        "request_headers_timeout": f"{_HEADERS_S}s",
        "request_timeout": f"{_REQUEST_S}s",
        "stream_idle_timeout": f"{_IDLE_S}s",
        # What lies here of an answer that is complete.
        "stream_flush_timeout": f"{UNREAD_S:g}s",
        # Connections are counted, so none stays that asks for nothing; clients connect again by themselves.
        "common_http_protocol_options": {"idle_timeout": f"{_SILENT_S}s"},
        # Refused below as all escapes are: here no word would be said.
        "path_with_escaped_slashes_action": "KEEP_UNCHANGED",
        "http2_protocol_options": {
            "max_concurrent_streams": _STREAMS,
            "initial_stream_window_size": _STREAM_WINDOW,
            "initial_connection_window_size": _CONNECTION_WINDOW,
        },
        "local_reply_config": {
            "mappers": [
                {
                    "filter": {
                        "header_filter": {
                            "header": {"name": ":path", "string_match": {"safe_regex": {"regex": "[^?]*%.*"}}}
                        }
                    },
                    "status_code": _ESCAPED["status"],
                    "body_format_override": {
                        "text_format_source": {"inline_string": json.dumps(_ESCAPED)},
                        "content_type": "application/problem+json",
                    },
                }
            ]
        },
        "route_config": {"virtual_hosts": [{"name": "door", "domains": ["*"]}]},
        "http_filters": [
            # No path here has an escape, and the module can't read all that such ones may hold.
            {
                "name": "envoy.filters.http.rbac",
                "typed_config": {
                    "@type": f"{TYPES}.filters.http.rbac.v3.RBAC",
                    "rules": {
                        "action": "DENY",
                        "policies": {
                            "escapes": {
                                "permissions": [{"url_path": {"path": {"safe_regex": {"regex": ".*%.*"}}}}],
                                "principals": [{"any": True}],
                            }
                        },
                    },
                },
            },
            {
                "name": "pyvoy",
                "typed_config": {
                    "@type": f"{TYPES}.filters.http.dynamic_modules.v3.DynamicModuleFilter",
                    "dynamic_module_config": {"module": {"local": {"filename": str(_module())}}},
                    "filter_name": "pyvoy",
                    "terminal_filter": True,
                    "filter_config": {
                        "@type": "type.googleapis.com/google.protobuf.StringValue",
                        "value": json.dumps(
                            {
                                "app": APPLICATION,
                                "interface": "asgi",
                                "root_path": "",
                                "worker_threads": 1,
                                "lifespan": True,
                                "loop": "uvloop",
                            }
                        ),
                    },
                },
            },
        ],
    }


def command(configuration: Path, mark: str) -> list[str]:
    """What starts Envoy: one worker, because the application has one event loop.

    Args:
        mark: stands in its command line, so that it is known as a process of the run.
    """
    options = ["--concurrency", "1", "--disable-hot-restart", "--log-level", "warning"]
    # Without both names no file of certificates is read.
    options += ["--service-node", mark, "--service-cluster", "framesift"]
    return [str(_installed("envoy") / "_bin" / "envoy"), "--config-path", str(configuration), *options]


def environment(library: Path, paths: Sequence[Path]) -> dict[str, str]:
    """What the interpreter in Envoy's process needs.

    Args:
        library: libpython, which the module does not bring.
        paths: where it looks for modules, beside the standard library.
    """
    return {
        "LD_PRELOAD": str(library),
        "PYTHONHOME": f"{sys.base_prefix}:{sys.base_exec_prefix}",
        "PYTHONPATH": os.pathsep.join(map(str, paths)),
    }


def _module() -> Path:
    spec = find_spec("pyvoy._pyvoy") if find_spec("pyvoy") else None
    if spec is None or spec.origin is None:
        raise ServerStartError("no pyvoy is installed here: pip install 'framesift[server]'")
    return Path(spec.origin)


def _installed(package: str) -> Path:
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ServerStartError(f"no {package} is installed here: pip install 'framesift[server]'")
    return Path(spec.submodule_search_locations[0])
