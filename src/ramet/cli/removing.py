"""`ramet delete` and `ramet rename`: remove a run, or give it another name."""

from collections.abc import Mapping
from typing import Annotated, NamedTuple

import typer

from ramet.cli import screen
from ramet.cli.completion import list_runs
from ramet.cli.stores import AsJson, StoreName
from ramet.cli.view import View
from ramet.engine.run.removing import delete_run
from ramet.engine.run.renaming import rename_run
from ramet.engine.training import this_worker
from ramet.errors import CorruptLog, UnknownSchema, UsageError
from ramet.history.replayed import find_replays
from ramet.places import existing
from ramet.store import Store
from ramet.wording import count, number, size

Force = Annotated[
    bool,
    typer.Option("--force", metavar="", help="Even while workers train it; they lose their turns."),
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
    before = _look(where.store, run)
    if not yes:
        held = f"{_describe_log(before)}, {_describe_files(where.blobs.sizes(run))}"
        _ask(f"Delete run {run!r} ({held}) from {where.name}?")
        _check_unchanged(before, _look(where.store, run), run)
    gone = delete_run(run, store=where.store, blobs=where.blobs, worker=this_worker(), force=force)
    if not gone and before.view and any(its.standing.checkpoint for its in before.view.seats):
        screen.say(
            f"ramet: no checkpoint of {run!r} was in {where.blobs!r}: if they are kept elsewhere "
            f"(blobs=), delete them there",
            err=True,
        )
    if as_json:
        screen.say_json({"run": run, "files": len(gone), "bytes": sum(gone.values())})
        return
    screen.say(f"Run {run!r} is deleted from {where.name}: {_describe_files(gone)}")


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
    for replay in find_replays(where.store, to):
        screen.say(f"{replay!r} keeps its name, and is a replay of {to!r} now")


class _Look(NamedTuple):
    """A run as it was when the user was asked."""

    record: int
    # None if its log cannot be read.
    view: View | None


def _look(store: Store, run: str) -> _Look:
    record = store.record(run)
    try:
        return _Look(record, View(store, run))
    except (CorruptLog, UnknownSchema, UsageError):
        # A run that is damaged, or that this version cannot read, may be deleted all the same.
        return _Look(record, None)


def _check_unchanged(before: _Look, now: _Look, run: str) -> None:
    """Refuse to delete more than the user was asked about."""
    last, last_now = (its.view and its.view.last for its in (before, now))
    if (before.record, last) != (now.record, last_now):
        raise UsageError(
            f"a run must be deleted as it was when you were asked, but run {run!r} has changed "
            f"since; nothing was deleted: look at it (ramet status) and try again"
        )


def _describe_log(look: _Look) -> str:
    if look.view is None:
        return "its log cannot be read"
    figures = look.view.figures()
    return f"{count(figures['turns'], 'turn')}, best {number(figures['best'])}"


def _describe_files(sizes: Mapping[str, int]) -> str:
    return f"{count(len(sizes), 'checkpoint file')}, {size(sum(sizes.values()))}"


def _ask(question: str) -> None:
    """Go on only if the user says yes."""
    if not screen.can_ask():
        raise UsageError(
            "a run must only be deleted if you confirm it, but there is no terminal to ask you "
            "on; nothing was deleted: add --yes to confirm it beforehand"
        )
    screen.say(f"{question} [y/N] ", err=True)
    try:
        answer = input()
    except EOFError:  # Ctrl-D.
        answer = ""
    if answer.strip().lower() not in {"y", "yes"}:
        raise UsageError("nothing was deleted")
