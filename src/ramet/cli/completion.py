"""`ramet completion`, and what a shell is offered for a store or a run."""

from pathlib import Path
from typing import Annotated, Literal

import typer
from typer.completion import (  # type: ignore[attr-defined]  # Typer's own, imported there
    get_completion_script,
)

from ramet.cli.words import DEFAULT_STORE, is_store
from ramet.errors import RametError
from ramet.store import SQLiteStore

# The variable that a shell's script sets to ask for completions.
VARIABLE = "_RAMET_COMPLETE"


def completion(
    shell: Annotated[
        Literal["bash", "zsh", "fish"],
        typer.Argument(metavar="SHELL", help="bash, zsh or fish."),
    ],
) -> None:
    """Print what a shell needs to complete commands, options, stores and names of runs.

    For bash, add `eval "$(ramet completion bash)"` to ~/.bashrc; for zsh, the same with zsh to
    ~/.zshrc; for fish, write the output to ~/.config/fish/completions/ramet.fish.
    """
    typer.echo(get_completion_script(prog_name="ramet", complete_var=VARIABLE, shell=shell))


def list_stores(incomplete: str) -> list[str]:
    """Return the stores and folders that a word may become, and runs of the default store.

    Args:
        incomplete: What is typed so far.
    """
    folder = Path(incomplete) if incomplete.endswith("/") else Path(incomplete).parent
    before = incomplete[: incomplete.rfind("/") + 1]
    try:
        there = sorted(folder.iterdir())
    except OSError:
        there = []
    paths = [
        f"{before}{path.name}/" if path.is_dir() else f"{before}{path.name}"
        for path in there
        if not path.name.startswith(".") and (path.is_dir() or is_store(str(path)))
    ]
    return [*_runs_in(DEFAULT_STORE), *paths]


def list_runs(ctx: typer.Context) -> list[str]:
    """Return the runs of the store that was named; none of a database, which may be far away.

    Args:
        ctx: The command line up to this word.
    """
    return _runs_in(ctx.params.get("store") or DEFAULT_STORE)


def _runs_in(store: str) -> list[str]:
    path = Path(store)
    if "://" in store or not path.is_file():
        return []
    try:
        return SQLiteStore(path, read_only=True, patience_s=0.0).runs()
    except RametError:
        return []
