"""The reference of the commands, from the parsers that read their arguments."""

import html
import inspect
import re
from collections.abc import Iterator
from typing import Any

import typer.main

from ramet.cli import app


def describe_commands() -> str:
    """Return Markdown with every command, its arguments and its options."""
    root: Any = typer.main.get_command(app)
    return "\n".join(line for name in root.commands for line in describe(name, root.commands[name]))


def describe(name: str, command: Any) -> Iterator[str]:
    """Yield the lines of Markdown about a command."""
    context = command.make_context(name, [], resilient_parsing=True)
    usage = " ".join(command.collect_usage_pieces(context))
    yield from (f"## ramet {name}", "", "```console", f"$ ramet {name} {usage}", "```", "")
    yield from (inspect.cleandoc(command.help or "").replace("\b", ""), "")
    shown = [one for one in command.get_params(context) if not one.hidden]
    if not shown:
        return
    yield from ("| | |", "|---|---|")
    for one in shown:
        yield f"| {spell(one, context)} | {explain(one, context)} |"
    yield ""


def spell(parameter: Any, context: Any) -> str:
    """Return how an argument or an option is written."""
    written, _ = parameter.get_help_record(context)
    # In backticks, the backslash that keeps a bar from being a border would show.
    return f"<code>{html.escape(written).replace('|', '&#124;')}</code>"


def explain(parameter: Any, context: Any) -> str:
    """Return what an argument or an option is for, and its default."""
    _, said = parameter.get_help_record(context)
    # Brackets are no links, and a bar is no border.
    return re.sub(r"([\[\]|<*_])", r"\\\1", " ".join(said.split()))
