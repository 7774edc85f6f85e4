"""The two ways in: ``ramet.run`` trains a whole run, ``ramet.open`` lets the caller do it."""

import os
import socket
from typing import Literal

from ramet.blobs import Blobs, MemoryBlobs
from ramet.clock import Clock
from ramet.engine.failures import Failures
from ramet.engine.progress import Progress
from ramet.engine.run import Run
from ramet.engine.worker import Task, TrainFunction, as_function, work
from ramet.errors import StoreError, StrategyError
from ramet.events import Mode
from ramet.history.result import Result
from ramet.space import Space
from ramet.store import MemoryStore, Store
from ramet.strategies import Strategy


def run(
    train: TrainFunction | Task,
    space: Space,
    strategy: Strategy,
    *,
    steps: int,
    name: str = "run",
    store: Store | str | None = None,
    blobs: Blobs | None = None,
    engine: Literal["inline"] = "inline",
    workers: int = 0,
    seed: int | None = None,
    mode: Mode = "max",
    strict: bool = False,
    retries: int = 1,
    tolerate: float = 0.5,
    lease_ttl_s: float = 60.0,
    progress: bool | None = None,
) -> Result:
    """Train a population to the end of its budget, and return what came of it.

    Args:
        train: A function of a member that loops over ``member.turns(state)``, or a ``Task``.
        space: The hyperparameters.
        strategy: Who copies whom and how hyperparameters change: ``PBT(...)``, ``Grid(...)``, …
        steps: The budget of each member.
        name: The run's name in its store; the name of an existing run goes on with it.
        store: Where the run is recorded; None keeps it in memory.
        blobs: Where checkpoints are kept, beside a ``store`` of your own. Others may be at work on
            that, so nothing is deleted from it; with ``store=None``, what nobody needs is.
        engine: How members are trained: "inline", in this process.
        workers: Worker processes; 0 trains in this one.
        seed: What all randomness comes from; None draws one, which the result names.
        mode: Whether high scores are good or low ones.
        strict: Whether a hyperparameter that the loop never reads is an error.
        retries: How often a turn that raises is tried again before it is given up.
        tolerate: The part of the members that may be failing before the run stops.
        lease_ttl_s: Seconds until another worker may take over the member of one that is silent.
        progress: Whether to show progress; None shows it on a terminal.
    """
    if workers != 0 or engine != "inline":
        raise StrategyError(
            f"training must be in this process, engine='inline' with workers=0, but got "
            f"({engine=}, {workers=}): other engines are not part of this version"
        )
    function = as_function(train)
    opened = open_run(
        store,
        name=name,
        space=space,
        strategy=strategy,
        steps=steps,
        blobs=blobs,
        seed=seed,
        mode=mode,
        strict=strict,
        retries=retries,
        tolerate=tolerate,
        lease_ttl_s=lease_ttl_s,
    )
    with Progress(name, sign=1 if mode == "max" else -1, shown=progress) as watch:
        watch(opened.population)
        work(opened, function, watch)
    return opened.result()


def open_run(
    store: Store | str | None = None,
    *,
    name: str = "run",
    space: Space,
    strategy: Strategy,
    steps: int,
    blobs: Blobs | None = None,
    seed: int | None = None,
    mode: Mode = "max",
    strict: bool = False,
    retries: int = 1,
    tolerate: float = 0.5,
    worker: str | None = None,
    lease_ttl_s: float = 60.0,
    clock: Clock | None = None,
) -> Run:
    """Open a run to ``ask`` for turns and ``tell`` how they went, in a loop of your own.

    The arguments are those of ``ramet.run``; ``worker`` names this one in the log and in errors,
    and ``clock`` is what it waits by.
    """
    return Run(
        store=_store(store, blobs),
        blobs=MemoryBlobs() if blobs is None else blobs,
        private=store is None and blobs is None,
        name=name,
        space=space,
        strategy=strategy,
        steps=steps,
        seed=seed,
        mode=mode,
        strict=strict,
        failures=Failures(retries=retries, tolerate=tolerate),
        worker=worker or f"{socket.gethostname()}-{os.getpid()}",
        lease_ttl_s=lease_ttl_s,
        clock=clock,
    )


def _store(store: Store | str | None, blobs: Blobs | None) -> Store:
    if store is None:
        return MemoryStore()
    if isinstance(store, str | type):
        raise StoreError(
            f"a store must be None, which keeps the run in memory, or a Store, but got {store!r}: "
            f"stores in files and databases are not part of this version"
        )
    if blobs is None:
        raise StoreError(
            "a store of your own must come with the blobs= that hold its checkpoints, or no run in "
            "it could be gone on with; pass MemoryBlobs() with a MemoryStore(), the same ones again"
        )
    return store
