"""``framesift models``: which models a server has, and which of them answers to which alias."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from .aliases import Aliases, ServedModels
from .options import server_option
from .printable import printable


@click.group("models")
def models_group() -> None:
    """See the models of a server, and move its aliases.

    A server that was started with several bundles has a model of each, and an alias of the same name that it answers
    to until that is moved.

    \b
    Example:
      framesift models list
    """


@models_group.command("list")
@server_option("The server's address.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def list_command(server: str, as_json: bool) -> None:
    """List aliases, and the models that answer to them.

    \b
    Example:
      framesift models list --json
    """
    _tell(Aliases(server).list(), as_json=as_json)


@models_group.command("switch")
@click.argument("alias")
@click.argument("model")
@server_option("The server's address.")
def switch_command(alias: str, model: str, server: str) -> None:
    """Have ALIAS answered by MODEL, for all requests that arrive from now on.

    What was let in before is answered as it was going to be. It holds until the server ends: give the bundles to their
    names anew when it is started next. A server with tokens needs one of an admin.

    \b
    Example:
      framesift models switch films next
    """
    _tell(Aliases(server).switch(alias, model), as_json=False)


def _tell(found: ServedModels, *, as_json: bool) -> None:
    if as_json:
        models = [asdict(model) for model in found.models]
        click.echo(json.dumps({"models": models, "aliases": dict(found.aliases), "default": found.default}))
        return
    for alias, name in found.aliases.items():
        model = found.model(name)
        assert model is not None
        marks = [*(["default"] if alias == found.default else []), *([] if model.ready else ["not ready"])]
        told = f"{alias}  answered by {name}: {model.system} model {model.fingerprint[:12]}"
        click.echo(printable(told + (f" ({', '.join(marks)})" if marks else "")))
