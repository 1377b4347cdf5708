"""Which models a server has, and which of them answers to which alias: asked, and changed, over HTTP and JSON."""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...export.bundle.errors import ServerError, ServerUnavailable, from_wire
from .connection import Credentials, check_address

_PATH = "/v1/models"
_TIMEOUT_S = 30.0


@dataclass(frozen=True)
class ServedModel:
    """One of a server's models, with a gallery of its own.

    Attributes:
        name: as the server was started with it.
        ready: whether its searches are answered.
        writing: requests to it that are no searches and have not ended.
    """

    name: str
    system: str
    fingerprint: str
    ready: bool
    writing: int


@dataclass(frozen=True)
class ServedModels:
    """A server's models, and the names by which clients choose one.

    Attributes:
        aliases: the model that answers to each alias; at first every model to its own name.
        default: the alias that answers those who choose none.
    """

    models: Sequence[ServedModel]
    aliases: Mapping[str, str]
    default: str

    def model(self, name: str) -> ServedModel | None:
        """The model of that name, if there is one."""
        return next((model for model in self.models if model.name == name), None)


class Aliases:
    """Asks a server for its models, and moves aliases.

    Args:
        address: HOST:PORT, as ``Client`` takes it.
        credentials: as of ``Client``; those that the environment names by default.
    """

    def __init__(self, address: str, credentials: Credentials | None = None) -> None:
        self._shown = Credentials.from_env() if credentials is None else credentials
        self.address = self._shown.check(check_address(address))

    def list(self) -> ServedModels:
        """All models and aliases.

        Raises:
            ServerUnavailable: there is no answer.
            AccessDenied: the caller is not known.
        """
        return _read(self._ask("GET"))

    def switch(self, alias: str, model: str) -> ServedModels:
        """Have an alias answered by another of the server's models, for all requests that arrive from then on.

        Raises:
            InvalidRequest: there is no such alias or model.
            AccessDenied: the caller is no admin.
            ServerUnavailable: there is no answer, or the model does not answer searches: the alias is as it was.
        """
        return _read(self._ask("PUT", {"alias": alias, "model": model}))

    def _ask(self, method: str, values: Mapping[str, str] | None = None) -> Any:
        connection = self._connection()
        headers = {"content-type": "application/json", **(self._shown.headers or {})}
        try:
            connection.request(method, _PATH, None if values is None else json.dumps(values), headers)
            reply = connection.getresponse()
            told = json.loads(reply.read())
        except (OSError, http.client.HTTPException) as error:
            raise ServerUnavailable(
                f"no answer from {self.address} (is `framesift serve` running?): {error}"
            ) from error
        except ValueError as error:
            raise ServerError(f"what {self.address} answers is no JSON: is it a framesift server?") from error
        finally:
            connection.close()
        if reply.status == http.client.OK:
            return told
        code, detail = str(told.get("code")), str(told.get("detail"))
        raise from_wire(f"[{code}] {detail}") or ServerError(detail)

    def _connection(self) -> http.client.HTTPConnection:
        host, _, port = self.address.rpartition(":")
        host = host.strip("[]")
        if self._shown.ca is None:
            return http.client.HTTPConnection(host, int(port), timeout=_TIMEOUT_S)
        context = ssl.create_default_context(cafile=self._shown.ca)
        if self._shown.certificate is not None:
            context.load_cert_chain(self._shown.certificate, self._shown.key)
        return http.client.HTTPSConnection(host, int(port), timeout=_TIMEOUT_S, context=context)


def _read(told: Any) -> ServedModels:
    try:
        return ServedModels([ServedModel(**row) for row in told["models"]], dict(told["aliases"]), str(told["default"]))
    except (KeyError, TypeError, ValueError) as error:
        raise ServerError(f"the server's list of models can't be read ({error!r}): is it of this version?") from error
