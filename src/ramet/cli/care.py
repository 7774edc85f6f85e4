"""`ramet stop`, `ramet prune` and `ramet doctor`: looking after a store."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from ramet.cli import screen
from ramet.cli.stores import AsJson, RunName, StorePath
from ramet.engine.run import run_events
from ramet.engine.run.checkpoints import Checkpoints
from ramet.engine.training import this_worker
from ramet.errors import CorruptLog, CorruptStore, NotAStore
from ramet.events import Stopped
from ramet.history.doctor import Finding, examine
from ramet.history.follower import Follower
from ramet.places import existing
from ramet.store import SQLiteStore
from ramet.visible import label
from ramet.wording import count, encodable, size


def stop(store: StorePath, name: RunName = None) -> None:
    """Have all workers of a run stop once their turns are over.

    `ramet run`, with what the run was begun with, goes on with it.
    """
    where = existing(store, read_only=False)
    view = Follower(where.store, where.choose(name))
    run = view.opening.name
    if view.population.done:
        screen.say(f"Run {run!r} is done; there is nothing to stop.")
        return
    run_events.append(where.store, view, Stopped(), worker=this_worker())
    busy = len({seat.worker for seat in where.store.seats(run) if seat.worker})
    ends = f"once the turns of {count(busy, 'worker')} are over" if busy else "now"
    screen.say(f"Run {run!r} stops {ends}; `ramet run` goes on with it.")


def prune(
    store: StorePath,
    name: RunName = None,
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", metavar="", help="Say what would go, and leave it.")
    ] = False,
) -> None:
    """Delete the checkpoints that nobody needs any more.

    Runs do so themselves as they go; what they keep was said with --keep. This is for what a
    run that was killed has left behind. Without NAME, for all runs.
    """
    where = existing(store)
    for run in where.store.runs() if name is None else [where.choose(name)]:
        view = Follower(where.store, run)
        checkpoints = Checkpoints(where.blobs, run)
        gone = checkpoints.prune(view.population, view.opening.keep, dry_run=dry_run)
        verb = "would be freed" if dry_run else "freed"
        told = f"{size(sum(gone.values()))} {verb}, {count(len(gone), 'checkpoint')}"
        screen.say(
            f"{label(run)}: {told if gone else 'nothing to prune'} (keep={view.opening.keep!r})"
        )


def doctor(store: StorePath, name: RunName = None, *, as_json: AsJson = False) -> None:
    """Check that a store is whole, down to each checkpoint that is needed.

    Exits with 1 if anything is wrong. docs/architecture.md numbers the promises that it checks.
    Without NAME, for all runs.
    """
    found = 0
    for run, finding in _findings(store, name):
        found += 1
        if as_json:
            # JSON holds no half characters, which a file's name may have.
            what = encodable(finding.what, "utf-8")
            screen.say_json({"run": run, "promise": finding.promise, "what": what})
        else:
            screen.say(f"{label(run or str(store))}: {finding.what} ({finding.promise})")
    if found:
        raise typer.Exit(1)
    if not as_json:
        runs = existing(store).store.runs()
        screen.say(f"{store}: {count(len(runs) if name is None else 1, 'run')}, nothing wrong")


def _findings(path: Path, name: str | None) -> Iterator[tuple[str | None, Finding]]:
    """Yield what is wrong, with the run that it is wrong with; with the file itself, None."""
    try:
        where = existing(path)
        if isinstance(where.store, SQLiteStore):
            for what in where.store.check():
                yield None, Finding(promise="file", what=what)
        for run in where.store.runs() if name is None else [where.choose(name)]:
            for finding in examine(where.store, where.blobs, run):
                yield run, finding
    except (CorruptStore, CorruptLog, NotAStore) as error:
        yield None, Finding(promise="file", what=str(error))
