"""The models that a server has, and the aliases by which clients choose one: told, and moved."""

from __future__ import annotations

from ....export.bundle.errors import InvalidRequest
from .. import body
from ..aliases import Aliases
from ..asgi import Receive, Scope
from ..record import Record
from ..replies import Reply, json_reply
from ..tokens import Caller
from .fields import read_json

FIELDS = ("alias", "model")
_LARGEST_BODY = 4096


class ModelCalls:
    """Answers what is asked about models."""

    def __init__(self, aliases: Aliases) -> None:
        self._aliases = aliases

    async def list(self, scope: Scope, receive: Receive, caller: Caller, record: Record) -> Reply:
        """All models and aliases."""
        return json_reply(self._aliases.told())

    async def switch(self, scope: Scope, receive: Receive, caller: Caller, record: Record) -> Reply:
        """Have an alias answered by another model, for all requests that arrive from then on.

        Raises:
            InvalidRequest: there is no such alias or model.
            ServerUnavailable: the model does not answer searches.
        """
        values = read_json(await body.whole(receive, _LARGEST_BODY), FIELDS)
        if values.keys() != set(FIELDS):
            raise InvalidRequest("the body needs an alias, and the model that is to answer to it")
        self._aliases.switch(values["alias"], values["model"])
        return json_reply(self._aliases.told())
