"""What Envoy does when clients hold more than it has room for: connections, and answers that nobody reads."""

from __future__ import annotations

from typing import Any

TYPES = "type.googleapis.com/envoy.extensions"
# So that there is room for many honest ones: whose are ended long before is decided in ``crowd``.
MAX_CONNECTIONS = 1 << 15
# Of Envoy's own memory: a connection of 256 answers that nobody reads takes 5 MB. From a half of it on, silence is
# borne for less and less long; near its end nobody new is let in. Clients that read slowly are ended long before, see
# ``crowd``.
HEAP_BYTES = 1 << 30
_HASTE, _FULL, _SHRINK = 0.5, 0.9, 0.8
_LEAST_S = 5
_LOOK_S = 0.25
_HEAP = "envoy.resource_monitors.fixed_heap"
_ACTIONS = "envoy.overload_actions"


def most_connections(descriptors: int) -> int:
    """How many are let in where the process may have so many descriptors: half are left for everything else."""
    return min(MAX_CONNECTIONS, descriptors // 2)


def overload_manager(descriptors: int) -> dict[str, Any]:
    """Its configuration, where the process may have so many descriptors."""
    connections = {
        "name": "envoy.resource_monitors.global_downstream_max_connections",
        "typed_config": {
            "@type": f"{TYPES}.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
            "max_active_downstream_connections": most_connections(descriptors),
        },
    }
    heap = {
        "name": _HEAP,
        "typed_config": {
            "@type": f"{TYPES}.resource_monitors.fixed_heap.v3.FixedHeapConfig",
            "max_heap_size_bytes": HEAP_BYTES,
        },
    }
    haste = {
        "name": f"{_ACTIONS}.reduce_timeouts",
        "triggers": [{"name": _HEAP, "scaled": {"scaling_threshold": _HASTE, "saturation_threshold": _FULL}}],
        "typed_config": {
            "@type": "type.googleapis.com/envoy.config.overload.v3.ScaleTimersOverloadActionConfig",
            "timer_scale_factors": [
                {"timer": f"HTTP_DOWNSTREAM_{timer}", "min_timeout": f"{_LEAST_S}s"}
                for timer in ("STREAM_IDLE", "STREAM_FLUSH", "CONNECTION_IDLE")
            ],
        },
    }
    return {
        "refresh_interval": f"{_LOOK_S}s",
        "resource_monitors": [connections, heap],
        "actions": [
            haste,
            {"name": f"{_ACTIONS}.shrink_heap", "triggers": [_above(_SHRINK)]},
            {"name": f"{_ACTIONS}.stop_accepting_requests", "triggers": [_above(_FULL)]},
        ],
    }


def _above(share: float) -> dict[str, Any]:
    return {"name": _HEAP, "threshold": {"value": share}}
