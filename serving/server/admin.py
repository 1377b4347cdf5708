"""The server's HTTP interface, as far as starting and watching it need it. Needs the standard library alone."""

from __future__ import annotations

import http.client
import json
from typing import Any

from ...export.bundle.errors import ServerError, ServerUnavailable


class Admin:
    """Calls with the key that opens the repository API.

    Every call has a connection of its own: one that stays open would hold up the server's end until its time limit.

    Args:
        host, port: where the server listens for HTTP.
        key: the run's admin key.
    """

    def __init__(self, host: str, port: int, key: str) -> None:
        self._host, self._port, self._key = host, port, key

    def ready(self) -> bool:
        """Whether the server answers and all its models are ready."""
        try:
            self._call("GET", "/v2/health/ready", timeout_s=2.0)
        except ServerError:
            return False
        return True

    def instances(self, model: str, version: str) -> int:
        """How many processes should run this version of a model; 0 if it was unloaded.

        Raises:
            ServerError: the server does not answer.
        """
        index = self._call("POST", "/v2/repository/index", {"ready": True})
        if not any((row["name"], row.get("version")) == (model, version) for row in index):
            return 0
        config = self._call("GET", f"/v2/models/{model}/versions/{version}/config")
        return sum(group["count"] * max(1, len(group.get("gpus", ()))) for group in config["instance_group"])

    def load(self, model: str, timeout_s: float) -> None:
        """Load a model whose files have changed. What was loaded before serves until the new one can.

        Raises:
            ServerUnavailable: no answer within ``timeout_s``.
            ServerError: it can't be loaded; the message says why.
        """
        self._call("POST", f"/v2/repository/models/{model}/load", {}, timeout_s)

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None, timeout_s: float = 5.0) -> Any:
        connection = http.client.HTTPConnection(self._host, self._port, timeout=timeout_s)
        try:
            connection.request(
                method,
                path,
                body=None if body is None else json.dumps(body),
                headers={"admin-key": self._key, "Connection": "close"},
            )
            response = connection.getresponse()
            answer = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise ServerUnavailable(f"Triton server does not answer: {error}") from error
        finally:
            connection.close()
        try:
            values = json.loads(answer or b"null")
        except ValueError:
            values = None
        if response.status != http.client.OK:
            reason = values.get("error") if isinstance(values, dict) else None
            raise ServerError(reason or f"Triton server answered {method} {path} with status {response.status}")
        return values
