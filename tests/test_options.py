"""Options of every command: one that is of no use without another is refused there, and is not ignored."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from framesift.__main__ import main
from framesift.export.bundle.dependent import Dependent

# How help begins that speaks of another option.
CONDITION = re.compile(r"With (--[a-z-]+)[:,]")


def leaves(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """All commands that do something, with the words that call them."""
    if isinstance(command, click.Group):
        for name, each in command.commands.items():
            yield from leaves(each, (*path, name))
    else:
        yield path, command


COMMANDS = list(leaves(main))
DEPENDENT = [
    pytest.param(path, option, id=" ".join((*path, option.opts[0])))
    for path, command in COMMANDS
    for option in command.params
    if isinstance(option, Dependent) and (option.needs or option.bars)
]


def words(option: click.Parameter, value: str = "") -> list[str]:
    """An option as it may be written."""
    if isinstance(option, click.Argument):
        return [value or "x"]
    if isinstance(option, click.Option) and option.is_flag:
        return [option.opts[0]]
    return [option.opts[0], value or (option.type.choices[0] if isinstance(option.type, click.Choice) else "1")]


def other(path: tuple[str, ...], written: str) -> list[str]:
    """Another option of a command, or an argument, as ``Dependent`` names it."""
    name, _, value = written.partition(" ")
    (found,) = [each for each in dict(COMMANDS)[path].params if name in each.opts or name == str(each.name).upper()]
    return words(found, value)


def refusal(path: tuple[str, ...], *arguments: str, **environment: str) -> str:
    """What is said against a command's line, where anything is; nothing is run."""
    with CliRunner(env=environment).isolation(env=environment):
        try:
            dict(COMMANDS)[path].make_context("framesift", list(arguments))
        except click.UsageError as error:
            return error.format_message()
    return ""


@pytest.mark.parametrize(("path", "option"), DEPENDENT)
def test_an_option_that_would_be_ignored_is_refused(path: tuple[str, ...], option: Dependent) -> None:
    needs = f"{option.opts[0]} needs {' or '.join(option.needs)}"
    if option.needs:
        assert refusal(path, *words(option)) == needs
    for each in option.needs:
        assert refusal(path, *words(option), *other(path, each)) != needs
    partner = other(path, option.needs[0]) if option.needs else []
    for each in option.bars:
        barred = f"{option.opts[0]} is of no use with {each}"
        assert refusal(path, *words(option), *partner, *other(path, each)) == barred
        assert refusal(path, *words(option), *partner) != barred


def test_what_help_says_is_held() -> None:
    for path, command in COMMANDS:
        for option in command.params:
            told = CONDITION.match(getattr(option, "help", None) or "")
            if told is not None:
                assert isinstance(option, Dependent), (path, option.opts)
                assert told[1] in option.needs, (path, option.opts)


def test_a_partner_from_the_environment_counts() -> None:
    given, said = ("--trace-ratio", "0.5", "bundle"), "--trace-ratio needs --trace-endpoint"
    assert refusal(("serve",), *given) == said
    assert refusal(("serve",), *given, OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:4318") == ""


def test_every_option_says_what_it_does_and_what_it_is_without() -> None:
    silent, unsaid = [], []
    for path, command in COMMANDS:
        context = click.Context(command)
        for option in command.params:
            if not isinstance(option, click.Option) or option.hidden:
                continue
            told, name = option.help or "", " ".join((*path, option.opts[0]))
            if not re.match(r"[A-Za-z]", told):
                silent.append(name)
            usual = option.get_default(context)
            valued = not option.is_flag and isinstance(usual, str | int | float | Path) and usual != ""
            if valued and not option.show_default and "default" not in told:
                unsaid.append(name)
    assert (silent, unsaid) == ([], [])
