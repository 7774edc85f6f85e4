"""What a store promises; docs/architecture.md numbers the promises."""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from ramet.events import AnyEvent, Logged, RunOpened
from ramet.population import Member


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """The right of one worker to one member, until it runs out and somebody takes it over."""

    run: str
    member: int
    worker: str
    # Grows whenever the member changes hands; the older one writes nothing any more.
    token: int
    # Seconds since the epoch, by the store's clock.
    expires_at: float


class Store(Protocol):
    """The record of runs: their events, and who is at work on which member."""

    def open_run(
        self, opening: RunOpened, members: Sequence[Member], *, synchronous: bool, worker: str
    ) -> RunOpened:
        """Begin a run, unless one of that name exists; return the opening on record."""
        ...

    def claim(self, run: str, *, worker: str, ttl_s: float) -> Lease | None:
        """Lease the member that has trained least among those free to train, if there is one.

        Free is a member that nobody holds a live lease on, that has budget left and, in a
        synchronous run, that has not yet ended its turn of the present round.
        """
        ...

    def extend(self, lease: Lease, *, ttl_s: float) -> Lease:
        """Hold on to a member for longer, or raise LeaseLost."""
        ...

    def release(self, lease: Lease) -> None:
        """Let go of a member without writing anything; a lease already lost is no error."""
        ...

    def commit(
        self,
        lease: Lease,
        events: Sequence[AnyEvent],
        members: Sequence[Member],
        *,
        round: int | None = None,  # noqa: A002 - it is the round of every other place
        after: int | None = None,
    ) -> int:
        """Write events and the members as they are after them, and release: all or nothing.

        ``round`` begins that round. ``after`` is the number of the last event that was known when
        this was decided: if others wrote since, raise LogMoved. Return the last number written.
        """
        ...

    def events(self, run: str, after: int = -1) -> list[Logged]:
        """Return the events behind a number, in order and without gaps."""
        ...

    def members(self, run: str) -> list[Member]:
        """Return the members as the last commits left them."""
        ...
