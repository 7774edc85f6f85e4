"""`ramet delete` and `ramet rename`: runs that are no longer wanted, or not under their name."""

from typing import Annotated

import typer

from ramet.cli import screen
from ramet.cli.completion import list_runs
from ramet.cli.stores import AsJson, StoreName
from ramet.cli.view import View
from ramet.engine.run.removing import delete_run
from ramet.engine.run.renaming import rename_run
from ramet.engine.training import this_worker
from ramet.errors import UsageError
from ramet.history.replayed import find_replays
from ramet.places import existing
from ramet.wording import count, number, size

Force = Annotated[
    bool,
    typer.Option("--force", metavar="", help="Even if workers are at work, which lose their turn."),
]
NamedRun = Annotated[str, typer.Argument(metavar="NAME", help="The run.", autocompletion=list_runs)]


def delete(
    store: StoreName,
    name: NamedRun,
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", metavar="", help="Do not ask.")] = False,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Delete a run and its checkpoints. Other runs, such as its replays, stay.

    It asks first. A run that workers train is not deleted without --force.
    """
    where = existing(store, read_only=False)
    run = where.choose(name)
    sizes = where.blobs.sizes(run)
    kept = f"{count(len(sizes), 'checkpoint file')}, {size(sum(sizes.values()))}"
    if not yes:
        figures = View(where.store, run).figures()
        held = f"{count(figures['turns'], 'turn')}, best {number(figures['best'])}, {kept}"
        _ask(f"Delete run {run!r} ({held}) from {where.name}?")
    gone = delete_run(run, store=where.store, blobs=where.blobs, worker=this_worker(), force=force)
    if as_json:
        screen.say_json({"run": run, "files": len(gone), "bytes": sum(gone.values())})
        return
    screen.say(f"Run {run!r} is deleted: {kept}")


def rename(
    store: StoreName,
    name: NamedRun,
    to: Annotated[str, typer.Argument(metavar="NEW", help="Its new name.")],
    *,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Give a run another name, with all its checkpoints.

    A run that workers train is not renamed without --force.
    """
    where = existing(store, read_only=False)
    run = where.choose(name)
    files = rename_run(
        run, to, store=where.store, blobs=where.blobs, worker=this_worker(), force=force
    )
    if as_json:
        screen.say_json({"run": to, "was": run, "files": files})
        return
    screen.say(f"Run {run!r} is called {to!r} now: {count(files, 'checkpoint file')}")
    if replays := find_replays(where.store, run):
        are = "is a replay" if len(replays) == 1 else "are replays"
        screen.say(
            f"ramet: {', '.join(map(repr, replays))} {are} of {run!r}, and still "
            f"{'says' if len(replays) == 1 else 'say'} so: reports of {to!r} do not show "
            f"{'it' if len(replays) == 1 else 'them'}",
            err=True,
        )


def _ask(question: str) -> None:
    """Go on only if the user says yes."""
    if not screen.can_ask():
        raise UsageError(
            "what is deleted cannot be had back, so it must be confirmed, but there is no terminal "
            "to ask on; nothing was deleted: add --yes"
        )
    screen.say(f"{question} [y/N] ", err=True)
    if input().strip().lower() not in {"y", "yes"}:
        raise UsageError("nothing was deleted")
