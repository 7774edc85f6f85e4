"""What happened in a run, event by event, in words."""

import time
from collections.abc import Iterator, Mapping
from typing import Any

from ramet import wording
from ramet.events import (
    AnyEvent,
    AttemptFailed,
    CheckpointLost,
    Copied,
    LeftUnread,
    Logged,
    RunOpened,
    TurnEnded,
    TurnLost,
    follow,
)
from ramet.history.following import check_record, check_seats
from ramet.history.reported import report_log
from ramet.points import final_score
from ramet.population import Population
from ramet.replica import Replica
from ramet.store.base import Store
from ramet.visible import cut, label, visible

# Events that are read at a time.
PAGE_EVENTS = 1_000
# The most characters of a line, without its traceback.
MOST_CHARS = 300
# What says that something went wrong.
FAILURES = (AttemptFailed, TurnLost, CheckpointLost, LeftUnread)
# Why a turn is given up, by what its event says.
WHY_LOST = {
    "failed": "it failed too often",
    "straggler": "it kept a round waiting for too long",
    "fatal": "one worker after another died while training it",
}


class Narrator:
    """Reads a run's log in pages, with scores as they were reported.

    Args:
        store: Where the run is recorded.
        run: Its name.
    """

    def __init__(self, store: Store, run: str) -> None:
        self._store, self._run = store, run
        self._record = store.record(run)
        self._mode = store.opening(run).mode
        self._replica = Replica()

    @property
    def population(self) -> Population:
        """The population as of the last event read."""
        return self._replica.population

    def read_on(self) -> Iterator[Logged]:
        """Yield the events that are new since the last call."""
        while page := self._store.events(self._run, self._replica.last, most=PAGE_EVENTS):
            check_record(self._store, self._run, self._record)
            follow(page, self._replica, self._run)
            yield from report_log(page, self._mode)
        # A new run may also have written less than was read of the old one.
        check_record(self._store, self._run, self._record)
        check_seats(self.population, self._store.seats(self._run))


def find_last_failure(store: Store, run: str, *, before: int, most: int) -> Logged | None:
    """Return the last failed attempt among the last events of a run, if there is one.

    Args:
        store: Where the run is recorded.
        run: Its name.
        before: The number behind that of the last event to look at.
        most: How many events to look at, at the most.
    """
    end = before
    while end > max(before - most, 0):
        begin = max(end - PAGE_EVENTS, 0)
        for logged in reversed(store.events(run, begin - 1, most=end - begin)):
            if isinstance(logged.event, AttemptFailed):
                return logged
        end = begin
    return None


def concerns(event: AnyEvent, member: int) -> bool:
    """Return whether an event is about a member, or takes something from it.

    Args:
        event: The event.
        member: The id of the member.
    """
    return member in {getattr(event, "member", None), getattr(event, "source", None)}


def describe_event(event: AnyEvent) -> str:
    """Return in one line what an event says, without its kind.

    Args:
        event: The event.
    """
    match event:
        case RunOpened():
            said = _describe_opening(event)
        case TurnEnded():
            score = final_score(event.points, event.step)
            said = f"{_who(event)}: step {event.step:,}, score {wording.number(score)}"
        case AttemptFailed():
            said = f"{_who(event)}: {describe_failure(event.error, event.where)}"
        case TurnLost():
            said = f"{_who(event)} is given up: {say_why_lost(event)}"
        case Copied():
            taken = {"weights": event.weights, "hyperparameters": event.hparams}
            what = " and ".join(name for name, it in taken.items() if it is not None)
            said = f"member {event.member} from member {event.source}, {event.kind}: {what}"
        case LeftUnread():
            said = f"a training loop did not read {event.name} in a whole turn"
        case _:
            said = _list_fields(event)
    return visible(cut(said, MOST_CHARS))


def _describe_opening(event: RunOpened) -> str:
    members, strategy = wording.count(len(event.births), "member"), event.strategy.get("type")
    return f"{members}, {event.steps:,} steps each, {strategy}, seed {event.seed}"


def describe_failure(error: str, where: str) -> str:
    """Return what an attempt raised, and the line of the user's code that did.

    Args:
        error: The error, as Python prints it.
        where: The file and line; empty if they are not known.
    """
    return f"{shorten(error)} ({label(where)})" if where else shorten(error)


def shorten(error: str) -> str:
    r"""Return an error on one line, without its middle if it is long.

    Args:
        error: The error, as Python prints it.

    >>> shorten("ValueError: two\n  lines")
    'ValueError: two lines'
    """
    return visible(cut(" ".join(error.split()), MOST_CHARS))


def describe_moment(seconds: float) -> str:
    """Return a time as people write it, by the clock and in the time zone of this machine.

    Args:
        seconds: Seconds since the epoch.
    """
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def say_why_lost(event: TurnLost) -> str:
    """Return why a turn was given up.

    Args:
        event: The event that gave it up.
    """
    return WHY_LOST.get(event.why, event.why)


def _who(event: TurnEnded | AttemptFailed | TurnLost) -> str:
    return f"member {event.member}, turn {event.turn}"


def _list_fields(event: AnyEvent) -> str:
    """Return the fields of a small event with their values; those without a value are left out."""
    names = [name for name in event.__struct_fields__ if name != "v"]
    fields = [(name, getattr(event, name)) for name in names]
    return ", ".join(_field(*each) for each in fields if each[1] is not None)


def _field(name: str, value: Any) -> str:
    if name == "member":
        return f"member {value}"
    if isinstance(value, Mapping):
        return " ".join(f"{key}={wording.value(it)}" for key, it in value.items())
    if name == "candidates":
        return wording.count(len(value), "turn")
    return f"{name} {wording.value(value)}"
