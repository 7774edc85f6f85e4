"""``ramet.join``: training as one more worker of a run that exists."""

import math
from os import PathLike

from ramet.engine.engines import Engine, Workers
from ramet.engine.run.opening import Settings
from ramet.engine.training import begin_call, train_run
from ramet.engine.workers.loop import Task
from ramet.engine.workers.session import TrainFunction
from ramet.errors import RametError, UsageError
from ramet.events import RunOpened
from ramet.history.following import Follower
from ramet.history.result import Result
from ramet.places import Place, Storage, StoreLike, existing, place
from ramet.space import Space, SpaceLike
from ramet.strategies import Strategy, from_description


def join(
    train: TrainFunction | Task,
    store: StoreLike,
    *,
    name: str | None = None,
    space: SpaceLike | None = None,
    strategy: Strategy | None = None,
    engine: Engine | None = None,
    workers: Workers | None = None,
) -> Result:
    """Train members of a run that exists, as one more worker, until it is over.

    Any number of processes may join a run, and each may be killed at any time. Steps, mode and seed
    are those of the run. ``RunNotFound`` is raised if the store has no run of this name.

    Args:
        train: What the run trains: a function of a session, or a ``Task``.
        store: The path of the file that records the run, or a ``Storage``.
        name: The run's name; it may be left out if the store has only one run.
        space: The hyperparameters of the run; None rebuilds them from the store, which is possible
            unless they contain code.
        strategy: The strategy of the run; None rebuilds it in the same way.
        engine: What trains the members; None trains one after the other in this process.
        workers: Short for ``engine=Processes(workers)``.
    """
    chosen, storage = begin_call(engine, workers), Storage.of(store)
    where = _open_existing(storage)
    try:
        log = Follower(where.store, where.choose(name))
    finally:
        where.close()
    opening = log.opening
    settings = Settings(
        name=opening.name,
        space=_rebuild_space(opening) if space is None else Space.of(space),
        strategy=_rebuild_strategy(opening) if strategy is None else strategy,
        steps=log.population.steps,
        mode=opening.mode,
        seed=opening.seed,
    )
    return train_run(train, settings, storage, chosen, existing="join")


def _open_existing(storage: Storage) -> Place:
    """Open a store that must exist, however long other processes keep it locked."""
    if storage.store is None:
        raise UsageError(
            "a run that is joined must be in a store that others use, but got none; pass the path "
            "of its file, as in ramet.join(train, 'runs.db')"
        )
    if isinstance(storage.store, str | PathLike):
        return existing(storage.store, read_only=False, patience_s=math.inf)
    return place(storage)


def _rebuild_space(opening: RunOpened) -> Space:
    try:
        space = Space.from_description(opening.space)
    except (RametError, LookupError, TypeError) as error:
        raise _not_recorded(opening, "space", error) from error
    if space.describe() != opening.space:
        raise _not_recorded(opening, "space", "it has where= or explore=")
    return space


def _rebuild_strategy(opening: RunOpened) -> Strategy:
    try:
        return from_description(opening.strategy)
    except (RametError, LookupError, TypeError) as error:
        raise _not_recorded(opening, "strategy", error) from error


def _not_recorded(opening: RunOpened, what: str, why: object) -> UsageError:
    return UsageError(
        f"a store keeps no code, so the {what} of run {opening.name!r} must be given to those that "
        f"join it, but was not: {why}; pass {what}=, or for `ramet worker` define {what!r} in the "
        f"module"
    )
