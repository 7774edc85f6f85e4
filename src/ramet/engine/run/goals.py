"""Goals of a run: those of its strategy, and the metrics that turns must end with for them."""

from collections.abc import Sequence

from msgspec.structs import replace

from ramet.engine.run.metrics import NAME
from ramet.engine.run.turn import Turn
from ramet.errors import MetricError, StrategyError
from ramet.events import Mode
from ramet.goals import SCORE, Goal, metrics_of, objectives_of
from ramet.points import Point, final_score
from ramet.series import Series, find_last
from ramet.strategies.base import HasGoals, Strategy


def resolve_goals(strategy: Strategy, mode: Mode) -> tuple[Goal, ...]:
    """Return what a strategy wants in a run of this mode; refuse what the run cannot judge by.

    Args:
        strategy: The strategy.
        mode: Which scores are good.
    """
    goals = tuple(strategy.goals) if isinstance(strategy, HasGoals) else ()
    for goal in goals:
        if not isinstance(goal, Goal):
            raise StrategyError(
                f"goals must be of type ramet.strategies.Goal, but {type(strategy).__name__} has "
                f"{goal!r}"
            )
        if goal.name != SCORE and not NAME.fullmatch(goal.name):
            raise StrategyError(
                f"a goal must be of a metric that turns can report, with a name that begins with a "
                f"letter, but got {goal.name!r}"
            )
        _check_score(goal, mode)
    if len({goal.name for goal in goals}) < len(goals):
        raise StrategyError(f"each goal must be of another number, but got {list(goals)}")
    # What is better for the score is the run's to say. It comes first: the best is by the score.
    of_score = [replace(it, better=it.better and mode) for it in goals if it.name == SCORE]
    return (*of_score, *(it for it in goals if it.name != SCORE))


def check_use_of_target(target: float | None, goals: Sequence[Goal]) -> None:
    """Refuse a target where the best is not the best by its score."""
    names = [goal.name for goal in objectives_of(goals)]
    if target is not None and names and SCORE not in names:
        raise StrategyError(
            f"a target is a score, which must be an objective, but the strategy compares by "
            f"{names} alone (score=False); leave target out"
        )


def require_metrics(
    turn: Turn, points: Sequence[Point], metrics: Sequence[Series], goals: Sequence[Goal]
) -> None:
    """Refuse a turn with a score that lacks a metric which the run has a goal for.

    Args:
        turn: The turn.
        points: Its scores.
        metrics: Its metrics.
        goals: The run's goals.
    """
    names = metrics_of(goals)
    if not names or final_score(points, turn.stop) is None:
        return
    last = find_last(metrics, turn.stop)
    missing = [name for name in names if name not in last]
    if missing:
        wanted = ", ".join(f"{name!r}: ..." for name in names)
        raise MetricError(
            f"a turn that ends with a score must end with the metrics that members are compared "
            f"by, {list(names)}, but turn {turn.number} of member {turn.member} has no "
            f"{missing[0]!r} at its last step, {turn.stop}; report them with the score: "
            f"turn.report(score, **{{{wanted}}}). A task of three functions reports a score only: "
            f"write a training function"
        )


def _check_score(goal: Goal, mode: Mode) -> None:
    """Refuse a bound of the score that a better score would break."""
    wrong, right = ("at_most", "at_least") if mode == "max" else ("at_least", "at_most")
    if goal.name == SCORE and (bound := getattr(goal, wrong)) is not None:
        good = "high" if mode == "max" else "low"
        raise StrategyError(
            f"a bound must be one that good scores are within, but with mode={mode!r} {good} "
            f"scores are good, and got {wrong}={{'score': {bound:g}}}; write {right}="
        )
