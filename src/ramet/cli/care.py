"""`ramet stop`, `ramet prune` and `ramet doctor`: maintenance of a store."""

from collections.abc import Iterator
from typing import Annotated

import typer

from ramet.cli import screen
from ramet.cli.stores import AsJson, RunName, StoreName
from ramet.cli.view import View
from ramet.engine.run import run_events
from ramet.engine.run.checkpoints import Checkpoints
from ramet.engine.training import this_worker
from ramet.errors import CorruptLog, CorruptStore, NotAStore
from ramet.events import Stopped
from ramet.history.doctor import Finding, examine
from ramet.history.following import Follower
from ramet.places import existing
from ramet.store.base import Checkable
from ramet.store.postgres.address import find_address
from ramet.visible import label
from ramet.wording import count, encodable, size


def stop(store: StoreName, name: RunName = None, *, as_json: AsJson = False) -> None:
    """Stop a run: its workers end after their current turns.

    The same `ramet run` as before resumes it.
    """
    where = existing(store, read_only=False)
    view = Follower(where.store, where.choose(name))
    run = view.opening.name
    done = view.population.done
    if not done:
        run_events.append(where.store, view, Stopped(), worker=this_worker())
    if as_json:
        screen.say_json(View(where.store, run).figures())
        return
    if done:
        screen.say(f"Run {run!r} is done; there is nothing to stop.")
        return
    busy = len({seat.worker for seat in where.store.seats(run) if seat.worker})
    ends = f"once the turns of {count(busy, 'worker')} are over" if busy else "now"
    screen.say(f"Run {run!r} stops {ends}; `ramet run` resumes it.")


def prune(
    store: StoreName,
    name: RunName = None,
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", metavar="", help="Only print what would be deleted.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Delete checkpoints that are no longer needed.

    Runs do this themselves as they go; --keep of `ramet run` says which checkpoints stay. This
    command deletes what a killed run has left. Without NAME, it does so for all runs.
    """
    where = existing(store)
    for run in where.store.runs() if name is None else [where.choose(name)]:
        view = Follower(where.store, run)
        checkpoints = Checkpoints(where.blobs, run)
        if not dry_run:
            checkpoints.attach(where.store)
        gone = checkpoints.prune(view.population, view.opening.keep, dry_run=dry_run)
        if as_json:
            freed_bytes = sum(gone.values())
            screen.say_json(
                {"run": run, "files": len(gone), "bytes": freed_bytes, "dry_run": dry_run}
            )
            continue
        verb = "would be freed" if dry_run else "freed"
        freed = f"{size(sum(gone.values()))} {verb}, {count(len(gone), 'checkpoint file')}"
        screen.say(
            f"{label(run)}: {freed if gone else 'nothing to prune'} (keep={view.opening.keep!r})"
        )


def doctor(store: StoreName, name: RunName = None, *, as_json: AsJson = False) -> None:
    """Check that a store is undamaged, including every checkpoint that is needed.

    The exit code is 1 if anything is wrong. Each finding names the promise of the store that is
    broken. Without NAME, check all runs.
    """
    found = 0
    for run, finding in _findings(store, name):
        found += 1
        if as_json:
            # JSON cannot hold lone surrogates, which a file's name may contain.
            what = encodable(finding.what, "utf-8")
            screen.say_json({"run": run, "promise": finding.promise, "what": what})
        else:
            screen.say(f"{label(run or _shown(store))}: {finding.what} ({finding.promise})")
    if found:
        raise typer.Exit(1)
    if not as_json:
        runs = existing(store).store.runs()
        checked = count(len(runs) if name is None else 1, "run")
        screen.say(f"{_shown(store)}: {checked}, nothing wrong")


def _shown(store: str) -> str:
    """Return what messages call a store: without the password, if it is a URL."""
    return str(find_address(store) or store)


def _findings(path: str, name: str | None) -> Iterator[tuple[str | None, Finding]]:
    """Yield each finding with its run, or with None if it is about the file itself."""
    try:
        where = existing(path)
        if isinstance(where.store, Checkable):
            for what in where.store.check():
                yield None, Finding(promise="file", what=what)
        for run in where.store.runs() if name is None else [where.choose(name)]:
            for finding in examine(where.store, where.blobs, run):
                yield run, finding
    except (CorruptStore, CorruptLog, NotAStore) as error:
        yield None, Finding(promise="file", what=str(error))
