"""Whether a run is over, and whether anybody is at work on it."""

from collections.abc import Collection, Iterable
from typing import Literal, TypeAlias

from ramet.errors import CorruptLog
from ramet.population import Population
from ramet.store.base import Seat

# "idle" is not over, with nobody at work; "stopping" was asked to stop, with turns still out.
State: TypeAlias = Literal["running", "idle", "stopping", "stopped", "done"]


def state_of(population: Population, seats: Iterable[Seat]) -> State:
    """Say how a run stands, from its population and who holds its members."""
    if population.done:
        return "done"
    if any(seat.worker for seat in seats):
        return "stopping" if population.stopped else "running"
    return "stopped" if population.stopped else "idle"


def check_seats(population: Population, seats: Collection[Seat]) -> None:
    """Refuse a store that has other members than the log."""
    there = [seat.standing.member for seat in seats]
    if there != list(range(len(population))):
        raise CorruptLog(
            f"a store must have a row for each of the {len(population)} members of a run, but has "
            f"{len(there)} rows, of members {there[:1]} to {there[-1:]}"
        )
