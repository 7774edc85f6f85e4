"""The two ways in: ``ramet.run`` trains a whole run, ``ramet.open`` lets the caller do it."""

import logging
import os
import secrets
import socket
from collections.abc import Sequence
from os import PathLike
from typing import Literal, TypeAlias

from ramet.blobs import Blobs
from ramet.clock import Clock
from ramet.engine.processes.child import Job
from ramet.engine.processes.loading import end_loading
from ramet.engine.processes.packing import pack
from ramet.engine.processes.pool import check_interpreter, train_in_processes
from ramet.engine.processes.resources import Share, settle_threads
from ramet.engine.processes.script import warn_unless_it_runs_again
from ramet.engine.progress import Progress
from ramet.engine.run.notices import say_doubts
from ramet.engine.run.opening import Settings, said_mode
from ramet.engine.run.options import Options
from ramet.engine.run.run import Run
from ramet.engine.run.unfinished import Failures
from ramet.engine.workers.loop import Task, as_function, work
from ramet.engine.workers.session import TrainFunction
from ramet.engine.workers.vectorized import Vectorizable, work_together
from ramet.errors import UsageError
from ramet.events import Keep, Mode
from ramet.history.result import Result
from ramet.places import Durability, Place, place
from ramet.process import SystemProcesses
from ramet.space import Space, SpaceLike
from ramet.store import Store
from ramet.strategies import Strategy

logger = logging.getLogger("ramet")

Engine: TypeAlias = Literal["vectorized"]


def run(
    train: TrainFunction | Task,
    space: SpaceLike,
    strategy: Strategy,
    *,
    steps: int,
    name: str = "run",
    store: Store | str | PathLike[str] | None = None,
    blobs: Blobs | None = None,
    workers: int = 0,
    engine: Engine | None = None,
    seed: int | None = None,
    mode: Mode | None = None,
    target: float | None = None,
    keep: Keep | None = None,
    durability: Durability = "power",
    extend: bool = False,
    strict: bool = False,
    retries: int = 1,
    tolerate: float = 0.5,
    lease_ttl_s: float = 60.0,
    straggler_timeout_s: float | None = None,
    threads_per_worker: int | None = None,
    gpus_per_worker: float | None = None,
    progress: bool | None = None,
) -> Result:
    """Train a population to its target or the end of its budget, and return what came of it.

    The name of a run that is in the store already goes on with it, from wherever it was killed or
    stopped; called in several processes at once, they share its members.

    Args:
        train: A function of a member that loops over ``session.turns(state)``, or a ``Task``.
        space: The hyperparameters: a ``Space``, or a dict of domains, which may be nested.
        strategy: Who copies whom and how hyperparameters change: ``PBT(...)``, ``Grid(...)``, …
        steps: The budget of each member.
        name: The run's name in its store; the name of an existing run goes on with it.
        store: The path of a file that records any number of runs, with a folder of checkpoints
            beside it; None keeps the run in memory, or with workers in a temporary file.
        blobs: Where checkpoints are kept instead, or beside a ``Store`` of your own.
        workers: Worker processes; 0 trains in this one. Each runs the script's top level first, up
            to this call.
        engine: "vectorized" trains all members that are free as one program, if the task is a
            ``ramet.jax.Task`` or a ``ramet.torch.Task``; what it raises is everybody's, and ends
            the run. None trains one after the other, or in workers.
        seed: What all randomness comes from; None draws one, which the result names.
        mode: Whether high scores are good, "max", or low ones, "min". It has to be said: nothing
            else tells an accuracy from a loss.
        target: The score that ends the run before its budget, once a turn ended with it or a better
            one: in a synchronous run at the end of that round. None has no target, goes on with a
            run that stopped at its target, and leaves that of any other run as it is.
        keep: Which checkpoints stay: "lineage", the default, has all members' and the best; "live"
            the members' only; "best", once the run is over, the best only; "all" every one.
        durability: What a turn survives once it is over: a loss of "power", or only of a "process",
            which is faster.
        extend: Whether an existing run may be given more steps than it was begun with.
        strict: Whether a hyperparameter that the loop never reads is an error.
        retries: How often a turn that raises is tried again before it is given up.
        tolerate: The part of the members that may be failing before the run stops.
        lease_ttl_s: Seconds until another worker may take over the member of one that is silent.
        straggler_timeout_s: Seconds that a worker with nothing to do waits for those that still
            train before a synchronous round ends without them; None waits for ever.
        threads_per_worker: Threads that numerical libraries start in each worker process; None
            takes what OMP_NUM_THREADS says, what the run was begun with, or shares the cores out.
        gpus_per_worker: GPUs that each worker process sees, or the part of one; None gives each
            one, round robin.
        progress: Whether to show progress; None shows it on a terminal.
    """
    end_loading(workers=workers)
    function = as_function(train)
    together = _together(train, engine, workers)
    settings = Settings(
        name=name,
        space=Space.of(space),
        strategy=strategy,
        steps=steps,
        seed=seed,
        mode=said_mode(mode),
        keep=_keep(keep, store, blobs),
        target=target,
    )
    options = Options(
        strict=strict,
        failures=Failures(retries=retries, tolerate=tolerate),
        lease_ttl_s=lease_ttl_s,
        straggler_timeout_s=straggler_timeout_s,
    )
    share = Share(workers=workers, threads=threads_per_worker, gpus=gpus_per_worker)
    where = place(store, blobs, durability=durability, shared=workers > 0)
    try:
        # What cannot work in processes is better said before there is a run.
        share.check_gpus()
        job = _job(train, settings, options, where) if workers else b""
        opened = _opened(settings, options, where, extend=extend)
        if opened.done:
            _say_over(opened)
        elif opened.stopped:
            _say_reached(opened, target)
        elif others := opened.others():
            _say_joined(opened, others)
        over = opened.over
        threads = share.default if over else settle_threads(opened, share)
        with Progress(name, shown=progress) as watch:
            watch(opened)
            try:
                if together is not None:
                    work_together(opened, together, watch)
                elif workers == 0:
                    work(opened, function, watch)
                elif not over:
                    train_in_processes(opened, job, share.environments(threads), watch=watch)
            except KeyboardInterrupt as stopped:
                raise type(stopped)(_how_to_go_on(opened, where)) from None
        say_doubts(result := opened.result())
        return result
    finally:
        where.close()


def open(  # noqa: A001 - ramet.open(...) is what users read
    store: Store | str | PathLike[str] | None = None,
    *,
    name: str = "run",
    space: SpaceLike,
    strategy: Strategy,
    steps: int,
    blobs: Blobs | None = None,
    seed: int | None = None,
    mode: Mode | None = None,
    target: float | None = None,
    keep: Keep | None = None,
    durability: Durability = "power",
    extend: bool = False,
    strict: bool = False,
    retries: int = 1,
    tolerate: float = 0.5,
    worker: str | None = None,
    lease_ttl_s: float = 60.0,
    straggler_timeout_s: float | None = None,
    clock: Clock | None = None,
) -> Run:
    """Open a run to ``ask`` for turns and ``tell`` how they went, in a loop of your own.

    The arguments are those of ``ramet.run``; ``worker`` names this one in the log and in errors,
    and ``clock`` is what it waits by.
    """
    end_loading()
    settings = Settings(
        name=name,
        space=Space.of(space),
        strategy=strategy,
        steps=steps,
        seed=seed,
        mode=said_mode(mode),
        keep=_keep(keep, store, blobs),
        target=target,
    )
    options = Options(
        strict=strict,
        failures=Failures(retries=retries, tolerate=tolerate),
        lease_ttl_s=lease_ttl_s,
        straggler_timeout_s=straggler_timeout_s,
    )
    where = place(store, blobs, durability=durability)
    return _opened(settings, options, where, extend=extend, worker=worker, clock=clock)


def this_worker() -> str:
    """Return a name that no other worker has, of this process or another."""
    # Containers may share their names and their processes' numbers.
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(2)}"


def _together(train: object, engine: Engine | None, workers: int) -> Vectorizable | None:
    """Return the task if it is to be trained as one program, or say why it cannot be."""
    if engine is None:
        return None
    if engine != "vectorized":
        raise UsageError(f"engine must be 'vectorized' or None, but got {engine!r}")
    if workers:
        raise UsageError(
            f"a vectorised population must be trained in one process, but got {workers=}; its "
            f"program has all the cores, and a ramet.jax.Task(..., shard=True) all the devices"
        )
    if not isinstance(train, Vectorizable):
        raise UsageError(
            f"what is trained as one program must be a ramet.jax.Task or a ramet.torch.Task, whose "
            f"functions a framework can map over members, but got {train!r}"
        )
    return train


def _job(train: object, settings: Settings, options: Options, where: Place) -> bytes:
    check_interpreter()
    warn_unless_it_runs_again(train)
    return pack(
        Job(
            train=train,
            settings=settings,
            options=options,
            store=where.store,
            blobs=where.blobs,
            watcher=SystemProcesses().this(),
        )
    )


def _opened(
    settings: Settings,
    options: Options,
    where: Place,
    *,
    extend: bool,
    worker: str | None = None,
    clock: Clock | None = None,
) -> Run:
    return Run(
        settings,
        options,
        store=where.store,
        blobs=where.blobs,
        worker=worker or this_worker(),
        extend=extend,
        beating=not where.private,
        clock=clock,
    )


def _say_over(opened: Run) -> None:
    fields = {"run": opened.name, "turns": opened.population.turns}
    logger.warning(
        "run %(run)r is over already, after %(turns)d turns, and nothing is trained; name= another "
        "to begin a new one, or extend=True with more steps",
        fields,
        extra=fields,
    )


def _say_reached(opened: Run, target: float | None) -> None:
    fields = {"run": opened.name, "target": target, "turns": opened.population.turns}
    logger.warning(
        "run %(run)r has reached its target of %(target)s already, after %(turns)d turns, and "
        "nothing is trained; to go on, set another target=, or leave it out to use the budget",
        fields,
        extra=fields,
    )


def _say_joined(opened: Run, others: Sequence[str]) -> None:
    fields = {"run": opened.name, "others": list(others), "ttl": opened.options.lease_ttl_s}
    logger.warning(
        "run %(run)r has members that %(others)s hold: they are trained there or, if those workers "
        "die, here; if they are silent without being seen to be dead, once their leases run out, "
        "%(ttl)g s after they were last heard of",
        fields,
        extra=fields,
    )


def _keep(keep: Keep | None, store: object, blobs: Blobs | None) -> Keep | None:
    """Delete nothing beside a record that is gone with this process, unless told to."""
    return "all" if keep is None and store is None and blobs is not None else keep


def _how_to_go_on(opened: Run, where: Place) -> str:
    turns = opened.result().population.turns
    stopped = f"run {opened.name!r} was stopped after {turns:,} turns"
    if where.name is None:
        return f"{stopped}, and is gone: with store='runs.db' it could be gone on with"
    return (
        f"{stopped}; nothing that was told is lost: to go on, run the same again, with {where.name}"
    )
