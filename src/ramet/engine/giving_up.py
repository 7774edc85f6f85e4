"""Turns that are given up: they fail too often, kill whoever trains them, or hold up a round."""

import contextlib
import logging

from ramet.engine.journal import Journal
from ramet.errors import LeaseLost, RunFailed, StoreBusy
from ramet.events import TurnLost
from ramet.population import Member, Population
from ramet.store.base import Store

logger = logging.getLogger("ramet")


def give_up(
    store: Store, journal: Journal, member: int, *, turn: int, why: str, ttl_s: float
) -> bool:
    """Give up a turn that another worker has or had; say whether it was not over yet."""
    if journal.prescribed:
        raise indispensable(member, turn, why)
    run = journal.opening.name
    lease = store.seize(run, member, turn=turn, worker=journal.worker, ttl_s=ttl_s)
    if lease is None:
        return False
    journal.catch_up()
    lost = turn_lost(journal, member, why)
    fields = {"member": member, "turn": turn, "why": why}
    logger.warning("turn %(turn)d of member %(member)d is given up: %(why)s", fields, extra=fields)
    try:
        journal.commit(lease, [lost], over=True)
    except LeaseLost:
        return False  # Another worker gave it up meanwhile.
    except BaseException:
        with contextlib.suppress(StoreBusy):  # Then it runs out.
            store.release(lease)
        raise
    return True


def turn_lost(journal: Journal, member: int, why: str) -> TurnLost:
    """Return the event that a member's present turn is given up: its steps are spent."""
    before = journal.member(member)
    trained = before.trained + journal.turn_steps(before)
    return TurnLost(member=member, turn=before.turn, trained=trained, why=why)


def indispensable(member: int, turn: int, why: str) -> RunFailed:
    """Return the error for a turn that a replay would have to give up."""
    return RunFailed(
        f"a replay must train every step of its schedule, but turn {turn} of member {member} would "
        f"have to be given up: {why}. It was not: mend the code and run again, and it goes on from "
        f"there"
    )


def stragglers(population: Population) -> list[Member]:
    """Return the members that a synchronous round still waits for."""
    return [
        member
        for member in population
        if member.turn == population.round and not population.finished(member.id)
    ]
