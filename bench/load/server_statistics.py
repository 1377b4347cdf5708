"""What Triton server says of its models: requests, executions, and where their time went."""

from __future__ import annotations

from collections.abc import Mapping

from tritonclient.grpc import InferenceServerClient

from ...serving.client.connection import channel_options
from ..schema.load import ModelUse

# Durations of the statistics, in nanoseconds over all requests so far.
_TIMES = ("queue", "compute_input", "compute_infer", "compute_output")
Counters = dict[str, dict[str, int]]


class Statistics:
    """Reads the counters of every model of the server at ``address``."""

    def __init__(self, address: str) -> None:
        self._client = InferenceServerClient(address, channel_args=channel_options(address))

    def read(self) -> Counters:
        """The counters now, by model."""
        return {
            model.name: {
                "requests": model.inference_stats.success.count,
                "failed": model.inference_stats.fail.count,
                "rows": model.inference_count,
                "executions": model.execution_count,
                **{name: getattr(model.inference_stats, name).ns for name in _TIMES},
            }
            for model in self._client.get_inference_statistics().model_stats
        }

    def close(self) -> None:
        """Close the connection."""
        self._client.close()


def between(before: Mapping[str, Mapping[str, int]], after: Counters) -> dict[str, ModelUse]:
    """What happened between two readings, of the models that had a request."""
    told = {}
    for name, late in after.items():
        early = before.get(name, {})
        change = {key: value - early.get(key, 0) for key, value in late.items()}
        if not (change["requests"] or change["failed"]):
            continue
        each = 1e-6 / max(1, change["requests"])
        told[name] = ModelUse(
            requests=change["requests"],
            failed=change["failed"],
            rows=change["rows"],
            executions=change["executions"],
            queue_ms=round(each * change["queue"], 4),
            input_ms=round(each * change["compute_input"], 4),
            compute_ms=round(each * change["compute_infer"], 4),
            output_ms=round(each * change["compute_output"], 4),
        )
    return told
