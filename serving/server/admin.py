"""Triton server's HTTP interface, as far as starting and watching it need it. Needs the standard library alone."""

from __future__ import annotations

import http.client
import json
from pathlib import Path
from typing import Any

from ...export.bundle.errors import ServerError, ServerUnavailable
from .unix_http import UnixConnection


class Admin:
    """Calls on the socket that only this user can reach.

    Every call has a connection of its own: one that stays open would hold up the server's end until its time limit.

    Args:
        socket: where the server listens for HTTP.
    """

    def __init__(self, socket: Path) -> None:
        self._socket = socket

    def ready(self) -> bool:
        """Whether the server answers and all models that it was told to load are ready."""
        try:
            self._call("GET", "/v2/health/ready", timeout_s=2.0)
        except ServerError:
            return False
        return True

    def live(self) -> bool:
        """Whether the server answers at all."""
        try:
            self._call("GET", "/v2/health/live", timeout_s=2.0)
        except ServerUnavailable:
            return False
        except ServerError:
            return True
        return True

    def instances(self, model: str, version: str) -> int:
        """How many processes should run this version of a model; 0 if it is not loaded.

        Raises:
            ServerError: the server does not answer.
        """
        if not any((row["name"], row.get("version")) == (model, version) for row in self._index()):
            return 0
        config = self._call("GET", f"/v2/models/{model}/versions/{version}/config")
        return sum(group["count"] * max(1, len(group.get("gpus", ()))) for group in config["instance_group"])

    def unloaded(self) -> list[str]:
        """The models of the repository that are not ready.

        Raises:
            ServerError: the server does not answer.
        """
        rows = self._call("POST", "/v2/repository/index", {})
        return sorted({row["name"] for row in rows} - {row["name"] for row in self._index()})

    def load(self, model: str, timeout_s: float) -> None:
        """Load a model whose files have changed, or that is not loaded. What was loaded serves until the new one can.

        Raises:
            ServerUnavailable: no answer within ``timeout_s``.
            ServerError: it can't be loaded; the message says why.
        """
        self._call("POST", f"/v2/repository/models/{model}/load", {}, timeout_s)

    def unload(self, model: str) -> None:
        """Unload a model.

        Raises:
            ServerError: the server does not answer, or refuses.
        """
        self._call("POST", f"/v2/repository/models/{model}/unload", {})

    def _index(self) -> list[dict[str, str]]:
        rows: list[dict[str, str]] = self._call("POST", "/v2/repository/index", {"ready": True})
        return rows

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None, timeout_s: float = 5.0) -> Any:
        connection = UnixConnection(self._socket, timeout_s)
        try:
            connection.request(
                method,
                path,
                body=None if body is None else json.dumps(body),
                headers={"Connection": "close"},
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
