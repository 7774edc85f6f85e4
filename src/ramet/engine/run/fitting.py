"""The turns of a strategy that leaves their length to the budget."""

import dataclasses
import logging

from ramet.engine.run.opening import Settings
from ramet.errors import RunNotFound, StrategyError
from ramet.events import RunOpened
from ramet.store.base import Store
from ramet.strategies.base import Strategy, check_pace
from ramet.strategies.controlled import deciding
from ramet.strategies.pace import FitsBudget, require_turn_steps

logger = logging.getLogger("ramet")


def fit_settings(settings: Settings, store: Store) -> Settings:
    """Return settings with a strategy that knows how long its turns are.

    They follow from the budget that the run was opened with, also after it was extended.

    Args:
        settings: What the run is opened with, or resumed with.
        store: Where it may be on record already.
    """
    try:
        steps, begins = store.opening(settings.name).steps, False
    except RunNotFound:
        steps, begins = settings.steps, True
    return _fit_to(settings, steps, begins=begins)


def fit_to_budget(settings: Settings) -> Settings:
    """Return settings of a new run with a strategy that knows how long its turns are.

    Args:
        settings: What the run is opened with.
    """
    return _fit_to(settings, settings.steps, begins=True)


def _fit_to(settings: Settings, steps: int, *, begins: bool) -> Settings:
    fitted = _fit(settings.strategy, steps)
    if fitted is settings.strategy:
        return settings
    if begins:
        _say_pace(settings.name, fitted, steps)
    return dataclasses.replace(settings, strategy=fitted)


def _fit(strategy: Strategy, steps: int) -> Strategy:
    # Of its class: a wrapper that passes on other attributes must not be replaced by what it wraps.
    if hasattr(type(strategy), "fit") and isinstance(strategy, FitsBudget):
        return _check_fitted(strategy, strategy.fit(steps))
    if strategy.turn_steps is None:
        raise StrategyError(
            f"turn_steps must be how many steps a member trains between two decisions, but "
            f"{type(strategy).__name__} has None; a strategy that leaves it to the budget needs a "
            f"method fit(steps), which returns a strategy with turn_steps"
        )
    return strategy


def _check_fitted(strategy: Strategy, fitted: object) -> Strategy:
    """Return what ``fit`` of a strategy returned; refuse what cannot train a run."""
    if not isinstance(fitted, Strategy) or fitted.turn_steps is None:
        raise StrategyError(
            f"fit(steps) must return a strategy with turn_steps, but that of "
            f"{type(strategy).__name__} returned {fitted!r}"
        )
    check_pace(turn_steps=fitted.turn_steps, evaluate_every=fitted.evaluate_every)
    return fitted


def describe_pace(asked: Strategy, opening: RunOpened) -> str | None:
    """Return how long the turns are that a strategy left to the budget; None if it left nothing.

    Args:
        asked: The strategy as the user made it.
        opening: How the run began.
    """
    every = deciding(opening.strategy).get("evaluate_every")
    if asked.turn_steps is not None and asked.evaluate_every == every:
        return None
    scores = "" if asked.evaluate_every == every else f" and scores every {every:,}"
    return f"turns of {opening.turn_steps:,} steps{scores}, which follow from the budget"


def _say_pace(run: str, strategy: Strategy, steps: int) -> None:
    fields = {
        "run": run,
        "strategy": type(strategy).__name__,
        "turn_steps": require_turn_steps(strategy),
        "evaluate_every": strategy.evaluate_every,
        "steps": steps,
    }
    logger.info(
        "run %(run)r: a budget of %(steps)d steps gives %(strategy)s turn_steps=%(turn_steps)d and "
        "evaluate_every=%(evaluate_every)s; pass others to the strategy to change them",
        fields,
        extra=fields,
    )
