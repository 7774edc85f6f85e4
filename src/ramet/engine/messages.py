"""Messages about a run that a call finds in its store, or leaves there."""

import logging
from collections.abc import Sequence

from ramet.engine.run.run import Run
from ramet.errors import RametError
from ramet.frames import find_shell
from ramet.history.following import Overview
from ramet.places import Place, file_of
from ramet.store import MemoryStore, SQLiteStore, Store
from ramet.wording import count

logger = logging.getLogger("ramet")


def say_over(run: Run, *, changed: bool) -> None:
    """Warn that a run is over, so that nothing is trained.

    Args:
        run: The run.
        changed: Whether the code that trains has changed since the run began.
    """
    fields = {"run": run.name, "turns": run.population.turns}
    since = ", although the code has changed since it began" if changed else ""
    logger.warning(
        f"run %(run)r is over already, after %(turns)d turns, and nothing is trained{since}; give "  # noqa: G004 - one of two texts
        "another name= to begin a new run, set existing='extend' (--extend) with more steps, or "
        "existing='overwrite' (--overwrite) to replace this run",
        fields,
        extra=fields,
    )


def say_changed(run: Run, *, joins: bool) -> None:
    """Warn that a run goes on with other code than it began with.

    Args:
        run: The run.
        joins: Whether this worker joins a run that others train.
    """
    fields = {"run": run.name}
    remedy = (
        "give this worker the code that the run began with, unless the change is meant"
        if joins
        else "for a run of this code only, give another name=, or set existing='overwrite' "
        "(--overwrite) to begin again"
    )
    logger.warning(
        "run %(run)r began with other code: the training function, or what it uses of its module, "  # noqa: G004 - one of two texts
        f"has changed since, and the run goes on with the code as it is now; {remedy}",
        fields,
        extra=fields,
    )


def say_reached(run: Run, target: float | None) -> None:
    """Warn that a run has reached its target, so that nothing is trained.

    Args:
        run: The run.
        target: The target of this call.
    """
    fields = {"run": run.name, "target": target, "turns": run.population.turns}
    logger.warning(
        "run %(run)r has reached its target of %(target)s already, after %(turns)d turns, and "
        "nothing is trained; to go on, set another target=, or leave it out to use the budget",
        fields,
        extra=fields,
    )


def say_shared(run: Run, others: Sequence[str]) -> None:
    """Warn that other workers train members of this run.

    Args:
        run: The run.
        others: The names of these workers.
    """
    fields = {"run": run.name, "others": list(others), "ttl": run.failures.lease_ttl_s}
    logger.warning(
        "%(others)s also train members of run %(run)r. This worker takes over the members of a "
        "worker that dies; if a worker only falls silent, it does so when the lease expires, "
        "%(ttl)g s after its last renewal",
        fields,
        extra=fields,
    )


def how_to_go_on(run: Run, where: Place) -> str:
    """Return what an interrupt says about a run that stops early.

    Args:
        run: The run.
        where: Where it is kept.
    """
    try:
        # Worker processes may have written more than this one has read.
        turns = Overview(where.store, run.name).population.turns
    except RametError as error:
        return f"run {run.name!r} was stopped, and its store cannot be read: {error}"
    after = count(turns, "turn")
    stopped = f"run {run.name!r} was stopped after {after}; no turn that ended is lost"
    again = "to go on, run the same again, with"
    at_hand = f"{stopped}: ramet.interrupted() has the result so far, and {again}"
    if _is_temporary(where.store):
        return (
            f"{at_hand} store=ramet.interrupted().storage. The run is lost when this process ends; "
            f"store='runs.db' would keep it"
        )
    # A script or a command ends with the interrupt, so it has no use for the result.
    return f"{at_hand if find_shell() else f'{stopped}: {again}'} {where.name}"


def _is_temporary(store: Store) -> bool:
    """Return whether a store is gone when this process ends."""
    return isinstance(store, MemoryStore | SQLiteStore) and file_of(store) is None


def how_to_rejoin(run: Run) -> str:
    """Return what an interrupt says to a worker that joined a run.

    Args:
        run: The run.
    """
    left = f"this worker left run {run.name!r}, which other workers may go on with"
    return f"{left}; the same command joins it again"


def how_to_repeat(name: str) -> str:
    """Return what an interrupt says to a call that is opening a run, or reading its result.

    Args:
        name: The name of the run.
    """
    return f"run {name!r} was stopped while no turn was in progress; to go on, run the same again"
