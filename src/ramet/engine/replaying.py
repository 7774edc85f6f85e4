"""Training fresh networks on a schedule that is known."""

from collections.abc import Sequence
from dataclasses import replace

from ramet.domains import Choice, Constant, Domain, Integer, Uniform, Value
from ramet.engine.engines import Engine, Workers
from ramet.engine.run.opening import Existing, Settings, check_existing, check_mode
from ramet.engine.training import begin_call, train_run
from ramet.engine.workers.loop import Task
from ramet.engine.workers.session import TrainFunction
from ramet.events import Mode
from ramet.history.replayed import Replayed
from ramet.places import Storage, StoreLike
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
    mode: Mode | None = None,
    store: StoreLike = None,
    name: str | None = None,
    existing: Existing = "resume",
    target: float | None = None,
    engine: Engine | None = None,
    workers: Workers | None = None,
    strict: bool = True,
) -> Replayed:
    """Train fresh networks on a schedule, one from each seed, and return their scores.

    A replay is a run like any other: it is kept in a store, trained by any engine, and resumed by
    the same call.

    Args:
        train: What the schedule was found for: a function of a session, or a ``Task``.
        schedule: ``result.schedule()``, or ``Schedule.load("s.json")``.
        steps: The steps that each network trains; None is as many as the schedule has. Beyond its
            end, the last values hold; ``schedule.stretch(steps)`` scales the schedule instead.
        seeds: The seed of each network. None trains one network with the same random draws as the
            weights that the schedule is from. It ends with exactly those weights if training
            depends on nothing else.
        mode: Whether high scores are good, "max", or low ones, "min". None is the mode of the run
            that the schedule is from; a schedule from no run needs it.
        store: The path of a file that records any number of runs, or a ``Storage``; None keeps the
            replay in memory, or with worker processes in a temporary file.
        name: The replay's name in its store; None is the run's with ``-replay`` or
            ``-replay-exact`` behind it.
        existing: What to do if the store has a run of this name: "resume" it, "extend" it to more
            steps, or "overwrite" it.
        target: The score that ends the replay before its budget.
        engine: What trains the networks; None trains one after the other in this process.
        workers: Short for ``engine=Processes(workers)``.
        strict: Whether it is an error if the loop never reads a hyperparameter of the schedule.
            This replaces the ``strict`` of the engine's ``failures``.
    """
    chosen = begin_call(engine, workers)
    check_existing(existing)
    strategy, source = Replay.by(schedule, seeds=seeds), schedule.source
    settings = Settings(
        name=name or name_of(schedule, exact=seeds is None),
        space=space_of(schedule),
        strategy=strategy,
        steps=schedule.steps if steps is None else steps,
        mode=check_mode(mode or (source.mode if source else None)),
        # Each network draws by its own seed, and nothing by that of the run.
        seed=0,
        target=target,
    )
    failures = replace(chosen.failures, strict=strict)
    result = train_run(
        train, settings, Storage.of(store), chosen, existing=existing, failures=failures
    )
    return Replayed(schedule=schedule, result=result)


def name_of(schedule: Schedule, *, exact: bool = False) -> str:
    """Return the name of a replay if the user gives none.

    Args:
        schedule: The schedule.
        exact: Whether the replay repeats the random draws behind the schedule.
    """
    prefix = f"{schedule.source.run}-" if schedule.source else ""
    return f"{prefix}replay-exact" if exact else f"{prefix}replay"


def space_of(schedule: Schedule) -> Space:
    """Return the space of a schedule: that of its run, or the narrowest that has its values.

    Args:
        schedule: The schedule.
    """
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
