"""Options of the command line that are of no use without another, or beside one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click


class Dependent(click.Option):
    """An option that is refused where it would be ignored without a word.

    Options are named as they are written, ``--page``, also with a value, ``--flavour rtx``; arguments as help shows
    them, ``BUNDLE``. Only what was given counts, not what an option is by default.

    Args:
        needs: others of the same command, one of which has to be given, too.
        bars: others of the same command that leave it nothing to do.
    """

    def __init__(self, *declared: Any, needs: Sequence[str] = (), bars: Sequence[str] = (), **settings: Any) -> None:
        super().__init__(*declared, **settings)
        self.needs, self.bars = needs, bars

    def handle_parse_result(
        self, ctx: click.Context, opts: Mapping[str, Any], args: list[str]
    ) -> tuple[Any, list[str]]:
        """As of every option, after a look at the others."""
        if self.name in opts and not ctx.resilient_parsing:
            if self.needs and not any(_given(ctx, opts, other) for other in self.needs):
                raise click.UsageError(f"{self.opts[0]} needs {' or '.join(self.needs)}", ctx)
            for other in self.bars:
                if _given(ctx, opts, other):
                    raise click.UsageError(f"{self.opts[0]} is of no use with {other}", ctx)
        return super().handle_parse_result(ctx, opts, args)


def _given(ctx: click.Context, opts: Mapping[str, Any], other: str) -> bool:
    """Whether another option or argument of the command was given, on its line or by the environment."""
    name, _, value = other.partition(" ")
    found = next(each for each in ctx.command.params if name in each.opts or name == (each.name or "").upper())
    given = opts.get(found.name or "")
    if isinstance(found, click.Argument):
        # What stands for an argument that is not there differs between releases of click, and is no text.
        return isinstance(given, str | Sequence) and bool(given)
    given = found.value_from_envvar(ctx) if given is None else given
    return given is not None and (not value or given == value)
