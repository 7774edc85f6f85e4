"""`ramet stop`, `ramet sweep` and `ramet doctor`: looking after a store."""

import contextlib
from typing import Annotated

import msgspec
import typer
from rich.console import Console

from ramet.cli.stores import AsJson, RunName, StorePath, chosen, existing
from ramet.engine.checkpoints import Checkpoints
from ramet.engine.launch import this_worker
from ramet.errors import LogMoved
from ramet.events import Stopped
from ramet.history.doctor import Finding, examine
from ramet.history.follower import Follower
from ramet.store import SQLiteStore


def stop(store: StorePath, name: RunName = None) -> None:
    """Ask all workers of a run to stop once their turns are over.

    `ramet run` with the same settings, or ramet.run, goes on with it.
    """
    where = existing(store)
    view = Follower(where.store, chosen(where, name))
    while not view.population.stopped:
        with contextlib.suppress(LogMoved):  # Then it is read on, and tried again.
            where.store.append(view.opening.name, Stopped(), worker=this_worker(), after=view.last)
        view.catch_up()
    typer.echo(f"Run {view.opening.name!r} stops: those at work end their turns first.")


def sweep(
    store: StorePath,
    name: RunName = None,
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would go, and leave it.")
    ] = False,
) -> None:
    """Delete the checkpoints that a run does not need; it does so itself as it goes.

    What a run keeps was said when it began (keep=).
    """
    where = existing(store)
    for each in where.store.runs() if name is None else [chosen(where, name)]:
        view = Follower(where.store, each)
        checkpoints = Checkpoints(where.blobs, each)
        gone = checkpoints.sweep(view.population, view.opening.keep, dry_run=dry_run)
        verb = "would free" if dry_run else "freed"
        typer.echo(
            f"{each}: {verb} {sum(gone.values()):,} bytes in {len(gone):,} checkpoints "
            f"(keep={view.opening.keep!r})"
        )


def doctor(store: StorePath, name: RunName = None, *, as_json: AsJson = False) -> None:
    """Hold a store against what ramet promises, down to the checksum of every checkpoint needed.

    Exits with 1 if anything is wrong. docs/architecture.md says what each promise is.
    """
    where = existing(store)
    names = where.store.runs() if name is None else [chosen(where, name)]
    findings: list[tuple[str, Finding]] = []
    if isinstance(where.store, SQLiteStore):
        findings += [("", Finding(promise="file", what=what)) for what in where.store.check()]
    for each in names:
        findings += [(each, found) for found in examine(where.store, where.blobs, each)]
    console = Console(highlight=False, markup=False)
    for each, found in findings:
        if as_json:
            told = {"run": each, "promise": found.promise, "what": found.what}
            typer.echo(msgspec.json.encode(told))
        else:
            console.print(f"{each or where.name}: {found.promise}: {found.what}")
    if findings:
        raise typer.Exit(1)
    if not as_json:
        console.print(f"{len(names)} runs in {where.name}: nothing wrong.")
