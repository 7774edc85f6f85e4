"""Engines: what trains the members of a run, as values."""

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, field, replace
from typing import Literal, Protocol, TypeAlias, runtime_checkable

from ramet.engine.processes.child import Job
from ramet.engine.processes.packing import pack
from ramet.engine.processes.pool import check_interpreter, train_in_processes
from ramet.engine.processes.resources import Share, count_workers
from ramet.engine.processes.script import warn_unless_it_runs_again
from ramet.engine.processes.threads import settle_threads
from ramet.engine.run.failures import Failures, check_failures, check_seconds
from ramet.engine.run.run import Run
from ramet.engine.workers.loop import as_function, work
from ramet.engine.workers.notice import work_with_grace
from ramet.engine.workers.session import Watch
from ramet.engine.workers.vectorized import Vectorizable, work_together
from ramet.errors import StrategyError, UsageError
from ramet.mapping.chunks import Chunk
from ramet.strategies.base import check_count
from ramet.strategies.fire import EVALUATORS

# Trains a run until it is over, and calls the watch after every turn.
Training: TypeAlias = Callable[[Run, Watch], None]
# How many worker processes; "auto" is as many as the machine can serve.
Workers: TypeAlias = int | Literal["auto"]


@runtime_checkable
class Engine(Protocol):
    """What trains the members of a run: in this process, in several, or as one program.

    An engine is a frozen value. An engine of your own needs nothing else than these: it opens the
    store in as many processes as it likes, asks for turns there, and trains them.
    """

    @property
    def failures(self) -> Failures:
        """How failures and silent workers are tolerated."""
        ...

    @property
    def progress(self) -> bool | None:
        """Whether to show progress. None shows it, except in a short run without a terminal."""
        ...

    @property
    def shared(self) -> bool:
        """Whether other processes open the store, so that it must not be in memory."""
        ...

    def prepare(self, job: Job, /) -> Training:
        """Check a job before its run begins, and return what trains it.

        Args:
            job: What is trained, the settings of its run, and where it is kept.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Inline:
    """Trains one member after the other in this process.

    Args:
        failures: How failures and silent workers are tolerated.
        progress: Whether to show progress. None shows it, except in a short run without a terminal.
        grace_s: The seconds in which the present turn may still end after SIGTERM. After them, or
            at a second signal, the turn is given back, and is trained again from its beginning. The
            call ends in either case. None leaves the signal to the script.
        only: Which members it trains: FIRE's "evaluators", while other workers train the others.
            None trains all.
    """

    failures: Failures = field(default_factory=Failures)
    progress: bool | None = None
    grace_s: float | None = None
    only: Literal["evaluators"] | None = None

    def __post_init__(self) -> None:
        check_common(self)
        if self.grace_s is not None:
            check_seconds("grace_s", self.grace_s, above=False)
        if self.only not in {None, "evaluators"}:
            raise StrategyError(f"only must be 'evaluators' or None, but got {self.only!r}")

    @property
    def shared(self) -> bool:
        """Whether other processes open the store: they do not."""
        return False

    def prepare(self, job: Job, /) -> Training:
        """Return what trains a job.

        Args:
            job: The job.
        """
        function = as_function(job.train)

        def train(run: Run, watch: Watch) -> None:
            settle_threads(run, Share(workers=0))
            if self.only is not None:
                run.ask_only(_find_evaluators(run))
            if self.grace_s is None:
                work(run, function, watch)
            else:
                work_with_grace(run, function, watch, grace_s=self.grace_s)

        return train


def _find_evaluators(run: Run) -> list[int]:
    births = enumerate(run.opening.births)
    found = [member for member, birth in births if birth.group == EVALUATORS and not birth.ranked]
    if not found:
        raise UsageError(
            f"a worker for evaluators needs a run that has some, as FIRE does, but run "
            f"{run.name!r} has none; leave out only='evaluators' (--only)"
        )
    return found


@dataclass(frozen=True, slots=True)
class Processes:
    """Trains members in worker processes on this machine, one member at a time in each.

    Each process runs the script's top level first, up to the call that trains.

    >>> Processes(4, gpus=1.5)
    Traceback (most recent call last):
        ...
    ramet.errors.StrategyError: gpus must be a whole number, or a part of one GPU, at least 0.001, \
but got 1.5

    Args:
        workers: How many processes. "auto" divides the GPUs of the machine by ``gpus`` (or 1).
            Without GPUs, it divides the cores by ``threads`` (or OMP_NUM_THREADS, or 1). It never
            starts more processes than there are members.
        gpus: How many GPUs each process sees, or the part of one, such as 0.5. None gives each
            process one GPU, in turn.
        threads: Threads that numerical libraries start in each process. None takes OMP_NUM_THREADS
            if that is set, or else the number that the run began with. A new run begins with an
            equal share of the cores.
        failures: How failures and silent workers are tolerated.
        progress: Whether to show progress. None shows it, except in a short run without a terminal.
    """

    workers: Workers = "auto"
    _: KW_ONLY
    gpus: float | None = None
    threads: int | None = None
    failures: Failures = field(default_factory=Failures)
    progress: bool | None = None

    def __post_init__(self) -> None:
        check_common(self)
        if self.workers != "auto":
            check_workers(self.workers, least=1)
        Share(workers=1, threads=self.threads, gpus=self.gpus)

    @property
    def shared(self) -> bool:
        """Whether other processes open the store: the workers do."""
        return True

    def prepare(self, job: Job, /) -> Training:
        """Check that worker processes can train a job, and return what trains it.

        Args:
            job: The job.
        """
        share = self._share()
        share.check_gpus()
        check_interpreter()
        warn_unless_it_runs_again(job.train)
        data = pack(job)

        def train(run: Run, watch: Watch) -> None:
            most = len(run.population) if self.workers == "auto" else share.workers
            fitting = replace(share, workers=min(share.workers, most))
            environments = fitting.environments(settle_threads(run, fitting))
            train_in_processes(run, data, environments, watch=watch)

        return train

    def _share(self) -> Share:
        workers = self.workers
        if workers == "auto":
            workers = count_workers(threads=self.threads, gpus=self.gpus)
        return Share(workers=workers, threads=self.threads, gpus=self.gpus)


@dataclass(frozen=True, slots=True, kw_only=True)
class Vectorized:
    """Trains all members that are free as one program, which keeps their states on its device.

    The task must be a ``ramet.jax.Task`` or a ``ramet.torch.Task``. An error of the program
    concerns all members, so it ends the run.

    Args:
        chunk: How many members the program trains at once; it trains one such chunk after the
            other. "auto" measures which number is fastest.
        shard: Whether the members are spread over all devices, which JAX can do.
        failures: How silent workers are tolerated.
        progress: Whether to show progress. None shows it, except in a short run without a terminal.
    """

    chunk: Chunk = "auto"
    shard: bool = False
    failures: Failures = field(default_factory=Failures)
    progress: bool | None = None

    def __post_init__(self) -> None:
        check_common(self)
        if self.chunk != "auto":
            meaning = "how many members are mapped at once; or let it be 'auto'"
            check_count("chunk", self.chunk, meaning)
        check_flag("shard", self.shard)

    @property
    def shared(self) -> bool:
        """Whether other processes open the store: they do not."""
        return False

    def prepare(self, job: Job, /) -> Training:
        """Check that a job can be trained as one program, and return what trains it.

        Args:
            job: The job.
        """
        task = job.train
        if not isinstance(task, Vectorizable):
            raise UsageError(
                f"what is trained as one program must be a ramet.jax.Task or a ramet.torch.Task, "
                f"because JAX or PyTorch maps its functions over members, but got {task!r}"
            )

        def train(run: Run, watch: Watch) -> None:
            settle_threads(run, Share(workers=0))
            work_together(run, task, watch, chunk=self.chunk, shard=self.shard)

        return train


# What an engine must have.
ENGINE = ("failures", "progress", "shared", "prepare")


def choose_engine(engine: Engine | None, workers: Workers | None) -> Engine:
    """Return the engine that a call asks for.

    >>> choose_engine(None, None)
    Inline(failures=Failures(retries=1, tolerate=0.5, lease_ttl_s=60.0, straggler_timeout_s=None, \
strict=False), progress=None, grace_s=None, only=None)

    Args:
        engine: The engine, if it is given.
        workers: The short form of ``Processes(workers)``; 0 or None trains in this process.
    """
    if engine is not None and workers is not None:
        raise UsageError(
            f"workers=N is short for engine=ramet.Processes(N), so a call must have one of the "
            f"two, but got both, {workers=} and {engine=}; write engine=ramet.Processes(N, ...) "
            f"for worker processes, and leave workers out"
        )
    if engine is not None:
        return _check_engine(engine)
    if workers is None or workers == "auto":
        return Inline() if workers is None else Processes()
    check_workers(workers, least=0)
    return Processes(workers) if workers else Inline()


def _check_engine(engine: object) -> Engine:
    if isinstance(engine, Engine) and not isinstance(engine, type):
        return engine
    lacking = [name for name in ENGINE if not hasattr(engine, name)]
    some = not isinstance(engine, type) and len(lacking) < len(ENGINE)
    raise UsageError(
        f"engine must be a value, ramet.Inline(), ramet.Processes(4), ramet.Vectorized() "
        f"or ramet.Ray(4), or None, but got {engine!r}"
        + (f", which lacks {' and '.join(lacking)} (see ramet.Engine)" if some else "")
    )


def check_trained(run: Run, engine: Engine) -> None:
    """Refuse an engine that returned before its run was over.

    Args:
        run: The run.
        engine: What was to train it.
    """
    if not run.over:
        raise UsageError(
            f"an engine must train until its run is over, but {type(engine).__name__} returned "
            f"after {run.population.turns} turns of run {run.name!r}; let it ask for turns until "
            f"run.ask() returns None, or call run.stop() to end earlier"
        )


def check_common(engine: Engine) -> None:
    """Refuse settings of the wrong kind that all engines have.

    Args:
        engine: The engine.
    """
    check_failures(engine.failures)
    progress: object = engine.progress
    if progress is not None and not isinstance(progress, bool):
        raise StrategyError(f"progress must be True, False or None, but got {engine.progress!r}")


def check_flag(name: str, value: object) -> None:
    """Refuse what is neither True nor False.

    Args:
        name: The name of the setting.
        value: Its value.
    """
    if not isinstance(value, bool):
        raise StrategyError(f"{name} must be True or False, but got {value!r}")


def check_workers(workers: object, *, least: int) -> None:
    """Refuse what is no number of workers.

    Args:
        workers: How many an engine is to have.
        least: How few there may be.
    """
    if isinstance(workers, str):
        raise StrategyError(
            f"workers must be a whole number of worker processes, or 'auto', but got {workers!r}"
        )
    check_count("workers", workers, "worker processes", least=least)
