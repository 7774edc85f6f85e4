"""The ways in: ``ramet.run`` trains a whole run, ``ramet.open`` lets the caller train its turns."""

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import ParamSpec, TypeVar, cast

from ramet.clock import Clock
from ramet.engine.engines import Engine, Workers
from ramet.engine.processes.loading import end_loading
from ramet.engine.run.failures import Failures, check_failures
from ramet.engine.run.opening import Existing, Settings, check_existing, check_mode
from ramet.engine.run.run import Run
from ramet.engine.training import begin_call, open_run, train_run
from ramet.engine.workers.loop import Task
from ramet.engine.workers.session import TrainFunction
from ramet.events import Mode
from ramet.history.result import Result
from ramet.places import Storage, StoreLike, place
from ramet.space import Space, SpaceLike
from ramet.strategies import Strategy

P = ParamSpec("P")
R = TypeVar("R")


def needs_mode(function: Callable[P, R]) -> Callable[P, R]:
    """Explain ``mode`` where Python would only say that it is missing.

    Args:
        function: A function with a keyword argument ``mode`` that has no default.
    """

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        check_mode(cast(Mode | None, kwargs.get("mode")))
        return function(*args, **kwargs)

    return call


@needs_mode
def run(
    train: TrainFunction | Task,
    space: SpaceLike,
    strategy: Strategy,
    *,
    steps: int,
    mode: Mode,
    store: StoreLike = None,
    name: str = "run",
    existing: Existing = "resume",
    seed: int | None = None,
    target: float | None = None,
    engine: Engine | None = None,
    workers: Workers | None = None,
) -> Result:
    """Train a population to its target or the end of its budget, and return the result.

    Calls with the same name and store resume the run, wherever it was killed or stopped. Calls in
    several processes at once share its members.

    Args:
        train: A function of a session that loops over ``session.turns(state)``, or a ``Task``.
        space: The hyperparameters: a ``Space``, or a dict of domains, which may be nested.
        strategy: Which members copy which, and how hyperparameters change: ``PBT(...)``, …
        steps: The budget of each member.
        mode: Whether high scores are good, "max", or low ones, "min".
        store: The path of a file that records any number of runs, or a ``Storage`` with more
            settings. None keeps the run in memory, or with worker processes in a temporary file.
        name: The run's name in its store.
        existing: What to do if the store has a run of this name: "resume" it, "extend" it to more
            steps, or "overwrite" it.
        seed: The seed of all randomness; None draws one, which the result names.
        target: A score that ends the run early: once a turn ends with this score or a better one
            and, in a synchronous run, its round is over. With None, a new run has no target, a run
            that stopped at its target goes on without one, and any other run keeps its target.
        engine: What trains the members: ``Inline()``, ``Processes(4, gpus=0.5)`` or
            ``Vectorized()``, or ``Ray(8)`` on a cluster. None trains one after the other in this
            process.
        workers: Short for ``engine=Processes(workers)``. "auto" starts as many as the machine can
            serve; with 0, this process trains.
    """
    chosen = begin_call(engine, workers)
    check_existing(existing)
    settings = Settings(
        name=name,
        space=Space.of(space),
        strategy=strategy,
        steps=steps,
        seed=seed,
        mode=mode,
        target=target,
    )
    return train_run(train, settings, Storage.of(store), chosen, existing=existing)


@needs_mode
def open(  # noqa: A001 - ramet.open(...) is what users read
    store: StoreLike = None,
    *,
    space: SpaceLike,
    strategy: Strategy,
    steps: int,
    mode: Mode,
    name: str = "run",
    existing: Existing = "resume",
    seed: int | None = None,
    target: float | None = None,
    failures: Failures | None = None,
    worker: str | None = None,
    clock: Clock | None = None,
) -> Run:
    """Open a run to ``ask`` for turns and ``tell`` how they went, in a loop of your own.

    Args:
        store: The path of a file that records any number of runs, or a ``Storage``; None keeps the
            run in memory.
        space: The hyperparameters: a ``Space``, or a dict of domains, which may be nested.
        strategy: Which members copy which, and how hyperparameters change.
        steps: The budget of each member.
        mode: Whether high scores are good, "max", or low ones, "min".
        name: The run's name in its store.
        existing: What to do if the store has a run of this name: "resume" it, "extend" it to more
            steps, or "overwrite" it.
        seed: The seed of all randomness; None draws one, which the result names.
        target: The score that ends the run before its budget.
        failures: How failures and silent workers are tolerated.
        worker: The name of this worker in the log and in errors; None draws one.
        clock: The clock to wait by; None is the system's.
    """
    end_loading()
    check_existing(existing)
    failures = Failures() if failures is None else check_failures(failures)
    settings = Settings(
        name=name,
        space=Space.of(space),
        strategy=strategy,
        steps=steps,
        seed=seed,
        mode=mode,
        target=target,
    )
    storage = Storage.of(store)
    where, settings = place(storage), replace(settings, keep=storage.kept)
    return open_run(settings, where, failures, existing=existing, worker=worker, clock=clock)
