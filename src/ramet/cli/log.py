"""`ramet log`: what happened in a run, event by event, with the tracebacks of failures."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Annotated, get_args

import msgspec
import typer

from ramet.cli import screen
from ramet.cli.stores import AsJson, RunName, StoreName
from ramet.errors import UsageError
from ramet.events import AnyEvent, AttemptFailed, Logged
from ramet.history.following import state_of
from ramet.history.narrating import (
    FAILURES,
    Narrator,
    concerns,
    describe_event,
    describe_moment,
)
from ramet.places import existing
from ramet.store import Seat
from ramet.visible import visible_lines

# Time between two looks at a log that is followed.
FOLLOW_S = 0.5
# Spaces before the lines of a traceback.
INDENT = " " * 4
# Widths of two columns, in characters: the kind of an event, and its number.
KIND_WIDTH, NUMBER_WIDTH = 14, 6

KINDS = {kind.__name__.lower(): kind for kind in get_args(AnyEvent)}


def log(
    store: StoreName,
    name: RunName = None,
    *,
    member: Annotated[
        int | None, typer.Option(help="Only events about this member, or copies from it.")
    ] = None,
    kind: Annotated[
        list[str] | None,
        typer.Option(
            metavar="<kind>", help="Only events of this kind, such as Copied; may be repeated."
        ),
    ] = None,
    failures: Annotated[
        bool,
        typer.Option("--failures", metavar="", help="Only what went wrong, with tracebacks."),
    ] = False,
    last: Annotated[
        int | None,
        typer.Option(min=1, help="At most this many events: the last ones that are chosen."),
    ] = None,
    follow: Annotated[
        bool,
        typer.Option("--follow", metavar="", help="Keep printing until the run is over."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show what happened in a run, event by event, and the tracebacks of failures.

    Each line has the number of the event, the time, the kind and what happened. A traceback that is
    the same as the one before is not repeated. --json prints all fields of the events instead.
    """
    where = existing(store)
    run = where.choose(name)
    narrator = Narrator(where.store, run)
    chosen = _choose(member, _find_kinds(kind or (), failures=failures))
    show = partial(_show_json, run=run) if as_json else Printer().show
    for logged in _keep_last(filter(chosen, narrator.read_on()), last):
        show(logged)
    try:
        over = not follow
        while not over:
            # Asked before the log is read: a worker that left before has written all its events.
            over = _is_over(narrator, where.store.seats(run))
            if not over:
                time.sleep(FOLLOW_S)
            for logged in filter(chosen, narrator.read_on()):
                show(logged)
    except KeyboardInterrupt as enough:
        raise type(enough)("") from None  # Nothing was interrupted, so there is no message.


class Printer:
    """Prints events for people, and the traceback of a failure unless the last one was the same."""

    def __init__(self) -> None:
        self._traceback: str | None = None

    def show(self, logged: Logged) -> None:
        """Print an event.

        Args:
            logged: The event.
        """
        event = logged.event
        kind, moment = type(event).__name__, describe_moment(logged.at)
        said = f"{logged.number:>{NUMBER_WIDTH}}  {moment}  {kind:{KIND_WIDTH}}"
        screen.say(f"{said}  {describe_event(event)}".rstrip())
        if isinstance(event, AttemptFailed) and event.traceback != self._traceback:
            self._traceback = event.traceback
            lines = visible_lines(event.traceback.rstrip()).split("\n")
            screen.say("\n".join(f"{INDENT}{line}".rstrip() for line in lines))


def _show_json(logged: Logged, *, run: str) -> None:
    fields = msgspec.to_builtins(logged.event)
    kind = fields.pop("event")
    place = {"run": run, "number": logged.number, "at": logged.at, "worker": logged.worker}
    screen.say_json({**place, "took_s": logged.took_s, "kind": kind, "fields": fields})


def _choose(member: int | None, kinds: tuple[type, ...] | None) -> Callable[[Logged], bool]:
    def is_wanted(logged: Logged) -> bool:
        of_kind = kinds is None or isinstance(logged.event, kinds)
        return of_kind and (member is None or concerns(logged.event, member))

    return is_wanted


def _find_kinds(names: Iterable[str], *, failures: bool) -> tuple[type, ...] | None:
    """Return the kinds that are asked for; None is all of them."""
    if wrong := [name for name in names if name.lower() not in KINDS]:
        there = ", ".join(kind.__name__ for kind in KINDS.values())
        raise UsageError(f"a kind of events must be one of {there}, but got {wrong[0]!r}")
    kinds = tuple(KINDS[name.lower()] for name in names)
    return (*kinds, *(FAILURES if failures else ())) or None


def _is_over(narrator: Narrator, seats: Iterable[Seat]) -> bool:
    return state_of(narrator.population, seats) in {"done", "stopped"}


def _keep_last(events: Iterator[Logged], last: int | None) -> Iterable[Logged]:
    return events if last is None else deque(events, maxlen=last)
