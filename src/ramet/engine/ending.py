"""How a run ends before its budget: at its target, or because a member's loop asked for it."""

from ramet.engine.journal import Journal
from ramet.events import Resumed, Stopped, TargetSet


def go_on(journal: Journal, *, target: float | None) -> None:
    """Aim a run at a target, and have it go on if it was stopped short of that."""
    journal.append(TargetSet(target=target))
    population = journal.population
    if not population.at_target:
        journal.append(Resumed())
    elif journal.between_rounds:
        journal.append(Stopped(why="target"))
    elif population.why_stopped != "target":
        # A round is always trained to its end, so that it is the same for any number of workers.
        journal.append(Resumed())
