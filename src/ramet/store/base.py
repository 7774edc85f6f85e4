"""What a store promises; docs/architecture.md numbers the promises."""

from collections.abc import Collection, Sequence
from typing import Protocol, runtime_checkable

import msgspec

from ramet.events import (
    AnyEvent,
    Conditions,
    Extended,
    Logged,
    Resumed,
    RunOpened,
    Stopped,
    TargetSet,
)
from ramet.laws import Count
from ramet.population import Member
from ramet.store.summary import Summary


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """The right of one worker to one member, until another worker takes it over.

    That is possible once it has run out, or the process that holds it is known to be gone.
    """

    run: str
    member: int
    worker: str
    # Grows whenever the member changes hands; the older one writes nothing any more.
    token: int
    # Seconds, by a clock of the store that never jumps.
    given_at: float
    expires_at: float
    # The number of the last event when it was given: who knows that one need not read on.
    head: int
    # How many leases of this very turn ran out and were taken over; processes that are known to
    # be gone do not count.
    lost: int = 0
    # Seconds since the worker was last heard of that this lease was taken from, if it was.
    silent_s: float | None = None
    # The store's number of the run: another one after a run of this name was overwritten.
    record: int = 0


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """What a store knows of a member beside the log: what claims go by, and what people ask."""

    member: Count
    trained: Count = 0
    step: Count = 0
    turn: Count = 0
    # The latest; None before the first, and where it was not finite.
    score: float | None = None
    # What its state is stored under.
    checkpoint: str | None = None


class Seat(msgspec.Struct, frozen=True, kw_only=True):
    """A member's standing, and who is at work on it."""

    standing: Standing
    # Who holds a live lease.
    worker: str | None = None
    # Seconds since that one was last heard of.
    silent_s: float | None = None


# What belongs to a run and to no member.
RunEvent = Extended | TargetSet | Stopped | Resumed | Conditions


def standing(member: Member) -> Standing:
    """Return what a store knows of a member."""
    return Standing(
        member=member.id,
        trained=member.trained,
        step=member.step,
        turn=member.turn,
        score=member.weights_score,
        checkpoint=member.checkpoint.key if member.checkpoint else None,
    )


@runtime_checkable
class Store(Protocol):
    """The record of runs: their events, and who is at work on which member."""

    def open_run(self, opening: RunOpened, *, worker: str) -> RunOpened:
        """Begin a run, unless one of that name exists; return the opening on record."""
        ...

    def overwrite_run(self, opening: RunOpened, *, worker: str) -> RunOpened:
        """Replace the run of that name by a new one, all at once, or begin it if there is none.

        Raise RunInUse, and change nothing, while a live lease of the old run exists. No lease of
        the old run is one of the new run.
        """
        ...

    def opening(self, run: str) -> RunOpened:
        """Return the opening on record, or raise RunNotFound."""
        ...

    def runs(self) -> list[str]:
        """Return the names of the runs, in the order in which they were opened."""
        ...

    def claim(
        self, run: str, *, worker: str, ttl_s: float, prefer: int | None = None
    ) -> Lease | None:
        """Lease the member that has trained least among those free to train, if there is one.

        Free is a member that nobody holds a live lease on, that has budget left and, in a
        synchronous run, that has not yet ended its turn of the present round. Among those that
        trained equally little it is the preferred one, or else the first. A lease is live until it
        runs out, or its process certainly exists no more.
        """
        ...

    def seize(self, run: str, member: int, *, turn: int, worker: str, ttl_s: float) -> Lease | None:
        """Lease a member that has not yet ended this turn, whoever holds it; None if it has."""
        ...

    def renew(self, lease: Lease, *, ttl_s: float) -> Lease:
        """Hold on to a member for longer, or raise LeaseLost."""
        ...

    def release(self, lease: Lease) -> None:
        """Let go of a member without writing anything; a lease already lost is no error."""
        ...

    def disown(self, run: str, *, worker: str) -> list[int]:
        """Let go of all that a worker held which is known to be dead; return the members."""
        ...

    def commit(
        self,
        lease: Lease,
        events: Sequence[AnyEvent],
        standings: Sequence[Standing],
        *,
        copied: Collection[Standing] = (),
        round: int | None = None,  # noqa: A002 - it is the round of every other place
        after: int | None = None,
    ) -> int:
        """Write events and how members stand after them, and release: all or nothing.

        ``copied`` are members whose checkpoints the events copy: if one has another by now, raise
        LogMoved. ``round`` begins that round. ``after`` is the number of the last event that was
        known when this was decided: if others wrote since, raise LogMoved. Return the last number
        written. The lease of every other member in ``standings`` is revoked.
        """
        ...

    def append(self, run: str, event: RunEvent, *, worker: str, after: int) -> int:
        """Write an event of the run itself, or raise LogMoved; return its number."""
        ...

    def events(self, run: str, after: int = -1, *, most: int | None = None) -> list[Logged]:
        """Return the events behind a number, or the first of them, in order and without gaps."""
        ...

    def summary(self, run: str) -> Summary | None:
        """Return how the run stood some events ago; None if a store keeps no summary of it."""
        ...

    def seats(self, run: str) -> list[Seat]:
        """Return how the members stand as the last commits left them, and who holds them."""
        ...
