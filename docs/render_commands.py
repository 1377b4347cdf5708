"""Write ``docs/commands.md`` from the help of every command: ``python docs/render_commands.py``, as ``make docs`` does.

With ``--check`` it writes nothing, and fails where the page is not what the commands say.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from framesift.__main__ import main as framesift

PAGE = Path(__file__).with_name("commands.md")
_WIDTH = 100
_HEAD = """\
# Commands

Every command's `--help`. Written by `make docs`; don't edit it here.
"""


def commands(group: click.Group, parent: click.Context) -> Iterator[click.Context]:
    """Every command below ``group`` in the order of its help, groups before what is in them."""
    for name in group.list_commands(parent):
        command = group.commands[name]
        context = click.Context(command, parent, name, terminal_width=_WIDTH, max_content_width=_WIDTH)
        context.help_option_names = parent.help_option_names
        yield context
        if isinstance(command, click.Group):
            yield from commands(command, context)


def page(program: click.Group = framesift) -> str:
    """The page as Markdown: a list of all commands, then the help of each."""
    root = click.Context(program, info_name="framesift", **program.context_settings)
    found = list(commands(program, root))
    listed = [f"- [`{c.command_path}`](#{c.command_path.replace(' ', '-')}): {_short(c.command)}" for c in found]
    helped = [f"## {c.command_path}\n\n```text\n{c.command.get_help(c).rstrip()}\n```" for c in found]
    return "\n\n".join([_HEAD.rstrip(), "\n".join(listed), *helped]) + "\n"


def _short(command: click.Command) -> str:
    return command.get_short_help_str(limit=_WIDTH)


def main(arguments: list[str]) -> int:
    """The program; the exit status is 1 where ``--check`` finds another page."""
    if "--check" not in arguments:
        PAGE.write_text(page(), encoding="utf-8")
    elif PAGE.read_text(encoding="utf-8") != page():
        print(f"{PAGE} is not what the commands say: run `make docs`", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
