"""Training a run from its beginning to its end, whichever engine trains it."""

import functools
import os
import secrets
import socket
from dataclasses import replace

from ramet.clock import Clock
from ramet.engine.engines import (
    Engine,
    Processes,
    Training,
    Vectorized,
    Workers,
    check_trained,
    choose_engine,
)
from ramet.engine.interrupting import explain_interrupt, hide_frames, remember, say_interrupt
from ramet.engine.messages import (
    how_to_go_on,
    how_to_rejoin,
    how_to_repeat,
    say_changed,
    say_over,
    say_reached,
    say_shared,
)
from ramet.engine.processes.child import Job
from ramet.engine.processes.loading import end_loading
from ramet.engine.progress import Progress, describe_step
from ramet.engine.run.failures import Failures
from ramet.engine.run.fitting import describe_pace
from ramet.engine.run.goals import resolve_goals
from ramet.engine.run.notices import say_doubts
from ramet.engine.run.opening import Existing, Settings, Terms
from ramet.engine.run.overwriting import overwrite
from ramet.engine.run.run import Run
from ramet.engine.source import fingerprint
from ramet.engine.workers.loop import Task, as_function
from ramet.engine.workers.renewing import check_can_renew
from ramet.engine.workers.session import TrainFunction
from ramet.engine.workers.vectorized import Vectorizable
from ramet.errors import RunFailed, UsageError
from ramet.goals import metrics_of
from ramet.history.result import Result
from ramet.places import Place, Storage, place
from ramet.process import SystemProcesses
from ramet.strategies.base import Strategy


def begin_call(engine: Engine | None, workers: Workers | None) -> Engine:
    """Return the engine of a call that trains; end here if this process only loads code.

    Args:
        engine: The engine that the call names.
        workers: The short form of ``Processes``.
    """
    chosen = choose_engine(engine, workers)
    # "auto" is at least one.
    asked = chosen.workers if isinstance(chosen, Processes) else 0
    end_loading(workers=1 if asked == "auto" else asked)
    return chosen


def train_run(
    train: TrainFunction | Task,
    settings: Settings,
    storage: Storage,
    engine: Engine,
    *,
    existing: Existing | Terms,
    failures: Failures | None = None,
) -> Result:
    """Train a run with an engine, and return the result.

    Args:
        train: A training function or a task.
        settings: The settings of the run.
        storage: Where it is kept.
        engine: What trains it.
        existing: What to do with a run of this name.
        failures: How failures and silent workers are tolerated; None is as the engine says.
    """
    as_function(train)
    _check_reports(train, settings)
    check_can_renew(settings.strategy, train, together=isinstance(engine, Vectorized))
    failures = engine.failures if failures is None else failures
    try:
        with explain_interrupt(lambda: how_to_repeat(settings.name)):
            return _open_and_train(
                train, settings, storage, engine, existing=existing, failures=failures
            )
    except (KeyboardInterrupt, RunFailed) as error:
        hide_frames(error)
        raise


def _open_and_train(
    train: TrainFunction | Task,
    settings: Settings,
    storage: Storage,
    engine: Engine,
    *,
    existing: Existing | Terms,
    failures: Failures,
) -> Result:
    where = place(storage, shared=engine.shared)
    settings = replace(settings, keep=storage.kept, code=fingerprint(train))
    try:
        # What an engine cannot train is better refused before there is a run.
        training = engine.prepare(_make_job(train, settings, failures, where))
        run = open_run(settings, where, failures, existing=existing)
        changed = _has_changed(run.opening.code, settings.code)
        if changed and not run.done:
            say_changed(run, joins=existing == "join")
        if existing != "join":
            _say_state(run, settings.target, changed=changed)
        with Progress(settings.name, shown=engine.progress) as watch:
            if said := _describe_beginning(run, settings.strategy, joins=existing == "join"):
                watch.say(said)
            watch(run)
            if not run.over:
                _train_on(run, training, where, watch, joins=existing == "join")
                check_trained(run, engine)
        say_doubts(result := run.result())
        return result
    finally:
        where.close()


def open_run(
    settings: Settings,
    where: Place,
    failures: Failures | None = None,
    *,
    existing: Existing | Terms,
    worker: str | None = None,
    clock: Clock | None = None,
) -> Run:
    """Begin a run, or resume, extend, overwrite or join the one of that name.

    Args:
        settings: The settings of the run.
        where: Where it is kept.
        failures: How failures and silent workers are tolerated.
        existing: What to do with a run of this name.
        worker: The name of this worker; None draws one.
        clock: The clock to wait by; None is the system's.
    """
    worker = this_worker() if worker is None else worker
    if existing == "overwrite":
        overwrite(settings, store=where.store, blobs=where.blobs, worker=worker)
    return Run(
        settings,
        failures,
        store=where.store,
        blobs=where.blobs,
        worker=worker,
        existing="resume" if existing == "overwrite" else existing,
        beating=not where.private,
        clock=clock,
    )


def this_worker() -> str:
    """Return a name that no other worker has, of this process or another."""
    # Containers may share their names and their processes' numbers.
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(2)}"


def _check_reports(train: object, settings: Settings) -> None:
    """Refuse a task, which reports no metrics, for a strategy that compares members by some."""
    names = metrics_of(resolve_goals(settings.strategy, settings.mode))
    if names and isinstance(train, Task | Vectorizable):
        raise UsageError(
            f"a run must report what its members are compared by, {list(names)}, but a task of "
            f"three functions reports a score only; write a training function, which can call "
            f"turn.report(score, **metrics)"
        )


def _make_job(train: object, settings: Settings, failures: Failures, where: Place) -> Job:
    return Job(
        train=train,
        settings=settings,
        failures=failures,
        store=where.store,
        blobs=where.blobs,
        watcher=SystemProcesses().this(),
    )


def _has_changed(before: str | None, now: str | None) -> bool:
    """Say whether the code is known to be other code than the run began with."""
    return before is not None and now is not None and before != now


def _say_state(run: Run, target: float | None, *, changed: bool) -> None:
    """Warn if there is nothing to train, or if other workers train it as well."""
    if run.done:
        say_over(run, changed=changed)
    elif run.stopped:
        say_reached(run, target)
    elif others := run.others():
        say_shared(run, others)


def _describe_beginning(run: Run, strategy: Strategy, *, joins: bool) -> str | None:
    """Return what to say before a run is trained: where it goes on, or what was left to it."""
    if run.over:
        return None
    if not run.population.turns:
        return describe_pace(strategy, run.opening)
    return None if joins else f"goes on at {describe_step(run.population)}"


def _train_on(run: Run, training: Training, where: Place, watch: Progress, *, joins: bool) -> None:
    read = functools.partial(Result, store=where.store, blobs=where.blobs, name=run.name)
    try:
        # Not before: a call that is refused, or interrupted at once, must not lose a run in memory.
        remember(None)
        training(run, watch)
    except KeyboardInterrupt as stopped:
        if joins:
            raise say_interrupt(stopped, how_to_rejoin(run)) from None
        remember(read)
        raise say_interrupt(stopped, how_to_go_on(run, where)) from None
    except RunFailed:
        remember(read)
        raise
