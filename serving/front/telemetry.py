"""What a run tells of its calls, beside metrics: by default nothing."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path

from ...export.bundle.errors import ServerStartError

_TRACES = "/v1/traces"
_URL = re.compile(r"https?://[\w.\[\]:-]+(/[\w./-]*)?")


@dataclass(frozen=True)
class Telemetry:
    """The access log, and traces.

    Attributes:
        access_log: file to which a line is appended for every call.
        log_texts: the lines hold the texts that were searched for.
        trace_endpoint: URL of a collector that takes OTLP over HTTP; empty for no traces.
        trace_ratio: the share of requests that are traced where their clients have no trace.
    """

    access_log: Path | None = None
    log_texts: bool = False
    trace_endpoint: str = ""
    trace_ratio: float = 0.1

    @property
    def traces(self) -> str:
        """The collector's URL for traces; empty for no traces."""
        url = self.trace_endpoint.rstrip("/")
        return url if not url or url.endswith(_TRACES) else url + _TRACES

    def absolute(self) -> Telemetry:
        """The same, for a process with another working directory."""
        return self if self.access_log is None else replace(self, access_log=self.access_log.absolute())

    def check(self) -> None:
        """Whether all this can be done.

        Raises:
            ServerStartError: the log can't be written, there is none for the texts, or no such collector can be.
            ModuleNotFoundError: OpenTelemetry is not installed.
        """
        if self.log_texts and self.access_log is None:
            raise ServerStartError("--log-texts writes texts into the access log: give its file (--access-log)")
        if self.access_log is not None:
            there = self.access_log.exists()
            if self.access_log.is_dir() or not os.access(self.access_log if there else self.access_log.parent, os.W_OK):
                raise ServerStartError(f"the access log {self.access_log} can't be written: give a file that can")
        if self.trace_endpoint:
            self._check_traces()

    def _check_traces(self) -> None:
        # Without it the error tells which extra brings it.
        import_module("opentelemetry.exporter.otlp.proto.http.trace_exporter")
        if not _URL.fullmatch(self.trace_endpoint):
            raise ServerStartError(
                f"{self.trace_endpoint!r} is no address of a collector: give http://HOST:PORT, as for OTLP over HTTP"
            )
        if not 0 <= self.trace_ratio <= 1:
            raise ServerStartError(f"the share of traced requests is {self.trace_ratio:g}: give 0 to 1")


NOTHING = Telemetry()
