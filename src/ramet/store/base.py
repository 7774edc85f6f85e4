"""What a store promises; docs/stores.md numbers the promises."""

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Protocol, runtime_checkable

import msgspec

from ramet.events import (
    AnyEvent,
    Conditions,
    Confirmed,
    Confirming,
    Extended,
    Logged,
    Resumed,
    RunOpened,
    Stopped,
    TargetSet,
)
from ramet.laws import Count
from ramet.population import Member, Population
from ramet.store.summary import Summary


class Lease(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The exclusive right of a worker to train a member.

    Another worker can take the member over once the lease has run out, or once the process that
    holds it is known to be gone.
    """

    # The name of the run.
    run: str
    # The number of the member.
    member: int
    # The name of the worker that holds the lease.
    worker: str
    # Grows with each lease of the member; commits under an older lease are refused.
    token: int
    # When the lease was given, in seconds, by a clock of the store that never jumps.
    given_at: float
    # When it runs out, by the same clock.
    expires_at: float
    # The number of the last event when it was given. A worker that has read this one is up to date.
    head: int
    # How many leases of this turn ran out and were taken over, without those of processes that
    # are known to be gone.
    lost: int = 0
    # Seconds since the previous worker was last heard of, if the lease was taken over from one.
    silent_s: float | None = None


class Standing(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a store knows of a member beside the log, for claims and for people who ask."""

    # The number of the member.
    member: Count
    # The steps of its budget that are spent.
    trained: Count = 0
    # The steps behind its present weights.
    step: Count = 0
    # How many turns it has ended.
    turn: Count = 0
    # The latest score; None before the first, and if it was not finite.
    score: float | None = None
    # The key of its checkpoint.
    checkpoint: str | None = None


class Seat(msgspec.Struct, frozen=True, kw_only=True):
    """A member's standing, and the worker that trains it."""

    standing: Standing
    # The worker that holds a live lease of it.
    worker: str | None = None
    # Seconds since that worker was last heard of.
    silent_s: float | None = None


def find_holders(seats: Iterable[Seat]) -> set[str]:
    """Return the workers that hold members."""
    return {seat.worker for seat in seats if seat.worker}


# Events of a run that belong to no member.
RunEvent = Extended | TargetSet | Stopped | Resumed | Conditions | Confirming | Confirmed


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
class Closable(Protocol):
    """A store with files or connections that can be closed."""

    def close(self) -> None:
        """Close what is open; the next call opens it again."""
        ...


@runtime_checkable
class Checkable(Protocol):
    """A store that can look for damage outside of its logs."""

    def check(self) -> list[str]:
        """Return what is wrong, one line for each fault."""
        ...


@runtime_checkable
class Awaitable(Protocol):
    """A store that can say when something that workers wait for was written to a run."""

    def wait(self, run: str, *, most_s: float) -> bool:
        """Wait until a round began, a member was freed or an event of the run itself was written.

        Return whether that may have happened; it may return earlier.

        Args:
            run: The name of the run.
            most_s: Seconds to wait at most.
        """
        ...


@runtime_checkable
class Store(Protocol):
    """The record of runs: their events, and which worker trains which member."""

    def open_run(self, opening: RunOpened, *, worker: str) -> RunOpened:
        """Begin a run, unless one of that name exists; return the opening on record.

        Args:
            opening: The run's first event.
            worker: The name of the worker that opens it.
        """
        ...

    def overwrite_run(self, opening: RunOpened, *, worker: str) -> RunOpened:
        """Replace the run of that name by a new one, all at once, or begin it if there is none.

        Raise RunInUse, and change nothing, while a live lease of the old run exists. No lease of
        the old run is one of the new run.

        Args:
            opening: The new run's first event.
            worker: The name of the worker that opens it.
        """
        ...

    def delete_run(self, run: str, *, worker: str, after: int) -> None:
        """Delete a run, all at once. No run that is begun later has its number or its leases.

        Raise RunInUse, and change nothing, while another worker has a live lease of it.

        Args:
            run: The name of the run.
            worker: The name of the worker that deletes it; its own leases do not count.
            after: The number of the last event. If there are later ones, LogMoved is raised.
        """
        ...

    def rename_run(self, run: str, to: str, *, worker: str, after: int) -> None:
        """Give a run another name, and begin a run with the same settings under the old one.

        All at once. The second run has trained nothing. To it belongs what is kept under the old
        name outside of the store, until that is deleted and the run with it. Replays of the run
        in this store say from their beginning that they repeat a run of the new name; those of an
        earlier run of the new name say that they repeat none. Raise NameTaken if there is a run of
        the new name, and RunInUse while the run has a live lease.

        Args:
            run: The name of the run.
            to: Its new name. Its log says it from the beginning.
            worker: The name of the worker that renames it.
            after: The number of the last event. If there are later ones, LogMoved is raised.
        """
        ...

    def opening(self, run: str) -> RunOpened:
        """Return the opening of ``run``, or raise RunNotFound."""
        ...

    def record(self, run: str) -> int:
        """Return the number of ``run``, which no other run has, also not one that overwrites it."""
        ...

    def runs(self) -> list[str]:
        """Return the names of the runs, in the order in which they were opened."""
        ...

    def claim(
        self,
        run: str,
        *,
        worker: str,
        ttl_s: float,
        prefer: int | None = None,
        among: Collection[int] | None = None,
    ) -> Lease | None:
        """Lease the free member that has trained least, or return None if no member is free.

        A member is free if it has no live lease, has budget left and, in a synchronous run, has
        not ended its turn of the present round. A lease is live until it runs out or its process
        is known to be gone.

        Args:
            run: The name of the run.
            worker: The name of the worker that will hold the lease.
            ttl_s: Seconds until the lease runs out, unless it is renewed.
            prefer: The member to choose among those that have trained equally little. Without
                it, or if it is not among them, the first is chosen.
            among: The members to choose from; None is all of them.
        """
        ...

    def claim_all(self, run: str, *, worker: str, ttl_s: float) -> list[Lease]:
        """Lease all free members at once, in the order in which ``claim`` would return them.

        Args:
            run: The name of the run.
            worker: The name of the worker that will hold the leases.
            ttl_s: Seconds until the leases run out, unless they are renewed.
        """
        ...

    def seize(self, run: str, member: int, *, turn: int, worker: str, ttl_s: float) -> Lease | None:
        """Lease a member even if another worker holds it; None if it has ended this turn.

        Args:
            run: The name of the run.
            member: The number of the member.
            turn: The turn that it must not have ended.
            worker: The name of the worker that will hold the lease.
            ttl_s: Seconds until the lease runs out, unless it is renewed.
        """
        ...

    def renew(self, lease: Lease, *, ttl_s: float) -> Lease:
        """Return the lease, now running out in ``ttl_s`` seconds; raise LeaseLost if it is lost."""
        ...

    def renew_all(self, leases: Sequence[Lease], *, ttl_s: float) -> list[Lease]:
        """Renew leases of one run at once; return those that are not lost.

        Args:
            leases: The leases, in any order, which is that of the result.
            ttl_s: Seconds until they run out.
        """
        ...

    def release(self, lease: Lease) -> None:
        """Free a member without writing anything; does nothing if the lease is lost."""
        ...

    def release_all(self, leases: Sequence[Lease]) -> None:
        """Free members of one run at once, but for those of lost leases, without writing anything.

        Args:
            leases: The leases.
        """
        ...

    def disown(self, run: str, *, worker: str) -> list[int]:
        """Free all members that a dead worker held; return their numbers.

        Args:
            run: The name of the run.
            worker: The name of the worker, which is known to be dead.
        """
        ...

    def commit(
        self,
        lease: Lease,
        events: Sequence[AnyEvent],
        standings: Sequence[Standing],
        *,
        beside: Sequence[Lease] = (),
        copied: Collection[Standing] = (),
        round: int | None = None,  # noqa: A002 - it is the round of every other place
        after: int | None = None,
        population: Callable[[int], Population | None] | None = None,
    ) -> int:
        """Write events and release the leases: all or nothing. Return the last event's number.

        Args:
            lease: The lease of the member that the commit is made for.
            events: The events, in order.
            standings: How the members that the events change stand afterwards. The leases of
                members that the commit is not made for are revoked.
            beside: The leases of further members of the run that the commit is made for.
            copied: How the members stood that the events copy from. If one has another checkpoint
                by now, LogMoved is raised.
            round: The round that begins with this commit, if one does.
            after: The number of the last event that the decision took into account. If others
                have written since then, LogMoved is raised.
            population: Returns the population after the event of a number, the last of these, for a
                store that keeps summaries; None if it is not known, because of what others wrote.
        """
        ...

    def append(self, run: str, event: RunEvent, *, worker: str, after: int) -> int:
        """Write an event of the run itself; return its number.

        Args:
            run: The name of the run.
            event: The event.
            worker: The name of what writes it.
            after: The number of the last event. If there are later ones, LogMoved is raised.
        """
        ...

    def events(self, run: str, after: int = -1, *, most: int | None = None) -> list[Logged]:
        """Return the events of ``run`` behind the number ``after``, in order; at most ``most``."""
        ...

    def summary(self, run: str) -> Summary | None:
        """Return how ``run`` stood some events ago; None if the store keeps no summary of it."""
        ...

    def seats(self, run: str) -> list[Seat]:
        """Return how the members of ``run`` stand after the last commit, and who holds them."""
        ...
