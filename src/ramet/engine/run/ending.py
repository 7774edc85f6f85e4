"""How a run ends before its budget: at its target, or because a training loop asked for it."""

import logging

from ramet.engine.run.journal import Journal
from ramet.events import Resumed, Stopped, TargetSet
from ramet.history.reported import report_score

logger = logging.getLogger("ramet")


def go_on(journal: Journal, *, target: float | None) -> None:
    """Set a run's target, and resume the run if it was stopped before reaching it.

    With None, the target on record stays, unless the run has stopped at it.
    """
    if target is not None:
        _say_changed(journal, target)
        journal.append(TargetSet(target=target))
    elif _is_stopped_at_target(journal):
        journal.append(TargetSet(target=None))
    population = journal.population
    if not population.at_target:
        journal.append(Resumed())
    elif journal.between_rounds:
        journal.append(Stopped(why="target"))
    elif population.why_stopped != "target":
        # A round is always trained to its end: the result is the same for any number of workers.
        journal.append(Resumed())


def _is_stopped_at_target(journal: Journal) -> bool:
    population = journal.population
    at_target = population.at_target and journal.between_rounds
    return population.stopped and (population.why_stopped == "target" or at_target)


def _say_changed(journal: Journal, target: float) -> None:
    """Warn that a run on record gets another target, which counts for all its workers."""
    before, opening = journal.population.target, journal.opening
    if before in {None, target}:
        return
    fields = {
        "run": opening.name,
        "before": report_score(before, opening.mode),
        "target": report_score(target, opening.mode),
    }
    logger.warning(
        "run %(run)r had a target of %(before)s; from now on it has one of %(target)s, for all its "
        "workers",
        fields,
        extra=fields,
    )
