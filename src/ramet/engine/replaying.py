"""Training fresh networks on a schedule that is known."""

from collections.abc import Sequence
from typing import Any

from ramet.domains import Choice, Constant, Domain, Integer, Uniform, Value
from ramet.engine.launch import run
from ramet.engine.processes.loading import end_loading
from ramet.engine.workers.loop import Task
from ramet.engine.workers.session import TrainFunction
from ramet.errors import UsageError
from ramet.events import Mode
from ramet.history.replayed import Replayed
from ramet.schedule import Schedule
from ramet.schedule.pieces import is_number
from ramet.space import Space
from ramet.strategies.replay import Replay

SEEDS = (0, 1, 2, 3, 4)


def replay(
    train: TrainFunction | Task,
    schedule: Schedule,
    *,
    steps: int | None = None,
    seeds: Sequence[int] | None = SEEDS,
    name: str | None = None,
    mode: Mode | None = None,
    strict: bool = True,
    **settings: Any,
) -> Replayed:
    """Train fresh networks on a schedule, one from each seed, and return how they fared.

    It is a run like any other: in a store, by workers, through any engine, gone on with by the same
    call.

    Args:
        train: What the schedule was found for: a function of a member, or a ``Task``.
        schedule: ``result.schedule()``, or ``Schedule.load("s.json")``.
        steps: How long each trains; None is as long as the schedule is. Behind its end the last
            values hold; ``schedule.stretch(steps)`` scales it.
        seeds: What each network draws by. None trains one that draws what the turns behind the
            schedule's weights drew, and so comes to those weights again, if training depends on
            nothing else.
        name: The replay's name in its store; None is the run's with ``-replay`` behind it, or with
            ``-replay-exact``.
        mode: Whether high scores are good; None is as in the run that the schedule is of, and must
            not be left out for a schedule that no run found.
        strict: Whether a hyperparameter of the schedule that the loop never reads is an error.
        settings: Others of ``ramet.run``: ``store=``, ``workers=``, ``engine=``, …
    """
    end_loading()
    strategy = Replay.by(schedule, seeds=seeds)
    source = schedule.source
    if "seed" in settings:
        raise UsageError(f"a replay has a seed for each network: seeds=[{settings['seed']!r}]")
    result = run(
        train,
        space_of(schedule),
        strategy,
        steps=schedule.steps if steps is None else steps,
        name=name or name_of(schedule, exact=seeds is None),
        mode=mode or (source.mode if source else None),
        # A member's seed is its own; no draw is by the run's.
        seed=0,
        strict=strict,
        **settings,
    )
    return Replayed(schedule=schedule, result=result)


def name_of(schedule: Schedule, *, exact: bool = False) -> str:
    """Return the name of a replay that nobody named."""
    whose = f"{schedule.source.run}-" if schedule.source else ""
    return f"{whose}replay-exact" if exact else f"{whose}replay"


def space_of(schedule: Schedule) -> Space:
    """Return what a schedule's values were drawn from, or the narrowest that they are in."""
    if schedule.space is not None:
        return Space.from_description(schedule.space)
    return Space(
        {name: _domain([hparams[name] for _, hparams in schedule]) for name in schedule.names}
    )


def _domain(values: Sequence[Value]) -> Domain:
    # 1, 1.0 and True are three options.
    distinct = list({(type(value), value): value for value in values}.values())
    if len(distinct) == 1:
        return Constant(distinct[0])
    numbers = [value for value in distinct if is_number(value)]
    kinds = {type(value) for value in distinct}
    if kinds == {int}:
        return Integer(int(min(numbers)), int(max(numbers)))
    return Uniform(min(numbers), max(numbers)) if kinds == {float} else Choice(distinct)
