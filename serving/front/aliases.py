"""The names by which clients choose a deployment, and which one answers to each at present."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...export.bundle.errors import InvalidRequest, ServerUnavailable
from .expositions import merged
from .supervision import write_state

if TYPE_CHECKING:
    from .deployed import Deployed

_LOG = logging.getLogger(__name__)
# Header of a request, field of a query string and of a search.
HEADER, FIELD = b"framesift-model", "model"
FILE = "aliases.json"
_SHOWN = 60


class Aliases:
    """Finds deployments by alias. Every deployment's name is an alias, which it answers to until that is moved.

    Args:
        folder: where it is kept which aliases were moved, for the door that comes after this one.

    Attributes:
        now: the deployment that answers those who choose none.
    """

    now: Deployed

    def __init__(self, folder: Path) -> None:
        self._file = folder / FILE
        self._models: dict[str, Deployed] = {}
        self._at: dict[str, str] = {}
        self._default = ""

    @property
    def all(self) -> Sequence[Deployed]:
        """Every deployment, the first one's being the default alias."""
        return list(self._models.values())

    def begin(self, models: Sequence[Deployed]) -> None:
        """Have these deployments answer, as they did when another door of this run was told so last."""
        self._models = {model.name: model for model in models}
        self._default = models[0].name
        moved = json.loads(self._file.read_text(encoding="utf-8")) if self._file.exists() else {}
        self._at = {name: moved.get(name, name) for name in self._models}
        self.now = self._models[self._at[self._default]]

    def find(self, alias: object) -> Deployed:
        """The deployment that answers to an alias.

        Raises:
            InvalidRequest: there is none.
        """
        if not isinstance(alias, str) or alias not in self._at:
            # Which there are is told to those who are known.
            raise InvalidRequest(f"there is no model {str(alias)[:_SHOWN]!r} here: see `framesift models list`")
        return self._models[self._at[alias]]

    def chosen(self, name: bytes | None) -> Deployed:
        """The deployment that a request's header chooses, or the default one where there is no such header.

        Raises:
            InvalidRequest: there is none of that name.
        """
        return self.now if name is None else self.find(name.decode("latin-1"))

    def switch(self, alias: object, model: object) -> None:
        """Have another deployment answer to an alias. What was let in before is answered by the one before.

        Raises:
            InvalidRequest: there is no such alias or deployment.
            ServerUnavailable: the deployment does not answer searches.
        """
        self.find(alias)
        if not isinstance(model, str) or model not in self._models:
            raise InvalidRequest(f"there is no model {str(model)[:_SHOWN]!r} here; there are {', '.join(self._models)}")
        if not self._models[model].health.ready:
            raise ServerUnavailable(f"{model} does not answer searches at present, so {alias} stays where it is")
        at = {**self._at, str(alias): model}
        # Kept first: a door that comes after this one must not go back.
        write_state(self._file, at)
        _LOG.warning("%s is answered by %s, and no more by %s", alias, model, self._at[str(alias)])
        self._at = at
        self.now = self._models[at[self._default]]

    def told(self) -> dict[str, Any]:
        """All of it as JSON's types."""
        return {
            "models": [model.told() for model in self._models.values()],
            "aliases": self._at,
            "default": self._default,
        }

    async def metrics(self) -> str:
        """The metrics of all deployments; of several each tells whose it is."""
        if len(self._models) == 1:
            return await self.now.observing.text()
        found: Mapping[str, str] = {name: await model.observing.text() for name, model in self._models.items()}
        return merged(found, "served")
