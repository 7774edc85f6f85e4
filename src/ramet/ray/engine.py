"""The engine that trains on a Ray cluster, as a value. Ray is imported when it is used."""

import math
import secrets
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field, replace
from typing import Literal, TypeAlias, get_args

from ramet.engine.engines import Training, Workers, check_common, check_flag, check_workers
from ramet.engine.processes.child import Job
from ramet.engine.processes.resources import THREADS, check_part, memory_of
from ramet.engine.run.device_memory import SHARERS
from ramet.engine.run.failures import Failures
from ramet.engine.run.run import Run
from ramet.engine.workers.session import Watch
from ramet.errors import StrategyError, UsageError
from ramet.events import Conditions
from ramet.ray.needs import Needs, Node, check_reach, check_room, count_places

# How Ray chooses nodes, by its own names.
Placement: TypeAlias = Literal["SPREAD", "DEFAULT"]


@dataclass(frozen=True, slots=True)
class Ray:
    """Trains members in actors on a Ray cluster, one member at a time in each.

    It uses the cluster that ``ray.init`` has connected this process to. Without a connection, it
    connects as ``ray.init()`` does: to the cluster that ``RAY_ADDRESS`` names, or to one that runs
    on this machine. If there is none, Ray starts a cluster here, which ends with this process.
    On any other cluster, the run goes on if the process that began it ends, and the same call
    follows it again. Ctrl-C stops the run.

    >>> Ray(4, num_gpus=1.5)
    Traceback (most recent call last):
        ...
    ramet.errors.StrategyError: num_gpus must be a whole number, or a part of one GPU, at least \
0.001, but got 1.5

    Args:
        workers: How many actors. "auto" is as many as the cluster has room for, but never more than
            there are members; with ``grows=True`` it is as many as there are members.
        num_cpus: CPUs that Ray reserves for each worker, which has as many threads, rounded down.
        num_gpus: GPUs that each worker sees, or the part of one.
        resources: Further resources that each worker needs, by Ray's names for them.
        placement: "SPREAD" puts workers on different nodes; "DEFAULT" fills nodes one by one.
        grows: Whether the cluster adds nodes when they are asked for, so that workers wait for one
            if no node has room for them yet.
        failures: How failures and silent workers are tolerated.
        progress: Whether to show progress. None shows it, except in a short run without a terminal.
    """

    workers: Workers = "auto"
    _: KW_ONLY
    num_cpus: float = 1
    num_gpus: float = 0
    resources: Mapping[str, float] = field(default_factory=dict)
    placement: Placement = "SPREAD"
    grows: bool = False
    failures: Failures = field(default_factory=Failures)
    progress: bool | None = None

    def __post_init__(self) -> None:
        check_common(self)
        if self.workers != "auto":
            check_workers(self.workers, least=1)
        if self.num_gpus != 0:
            check_part("num_gpus", self.num_gpus)
        _check_needs(self)
        if self.placement not in get_args(Placement):
            raise StrategyError(
                f"placement must be one of {get_args(Placement)}, but got {self.placement!r}"
            )
        check_flag("grows", self.grows)

    @property
    def shared(self) -> bool:
        """Whether other processes open the store: the workers do."""
        return True

    @property
    def needs(self) -> Needs:
        """What each worker needs, by Ray's names."""
        needs = {"CPU": self.num_cpus, "GPU": self.num_gpus, **self.resources}
        return {name: amount for name, amount in needs.items() if amount}

    def prepare(self, job: Job, /) -> Training:
        """Check that the cluster can train a job, and return what trains it.

        Args:
            job: The job.
        """
        _require_ray()
        from ramet.ray import cluster, packing  # noqa: PLC0415 - an extra
        from ramet.ray.crew import Plan  # noqa: PLC0415 - the same
        from ramet.ray.driver import Driver  # noqa: PLC0415 - the same

        cluster.connect()
        home, nodes = cluster.find_home(), cluster.list_nodes()
        if not self.grows:
            check_room(self.needs, nodes)
        check_reach(job.store, home=home, addresses=[node.address for node in nodes])
        packed = packing.pack(replace(job, watcher=None))

        def train(run: Run, watch: Watch) -> None:
            plan = Plan(
                token=secrets.token_hex(8),
                workers=self._count_workers(nodes, members=len(run.population)),
                needs=self.needs,
                options=self._options(_settle_threads(run, self.num_cpus)),
                home=home,
                code=job.settings.code,
            )
            Driver(run, job.store, plan, packed).follow(watch)

        return train

    def _count_workers(self, nodes: list[Node], *, members: int) -> int:
        if self.workers != "auto":
            return self.workers
        return members if self.grows else min(count_places(self.needs, nodes), members)

    def _options(self, threads: int) -> dict[str, object]:
        """Return Ray's options for the actor of each worker."""
        variables = dict.fromkeys(THREADS, str(threads))
        if self.num_gpus:
            places = int(1 / self.num_gpus) if self.num_gpus < 1 else 1
            variables |= {SHARERS: str(places), **memory_of(places, given={})}
        return {
            "num_cpus": self.num_cpus,
            "num_gpus": self.num_gpus,
            "resources": dict(self.resources),
            "scheduling_strategy": self.placement,
            "runtime_env": {"env_vars": variables},
        }


def _check_needs(engine: Ray) -> None:
    """Refuse amounts that are none, and workers that need nothing, of which any number fit."""
    amounts: dict[str, object] = {"num_cpus": engine.num_cpus}
    given: object = engine.resources
    if not isinstance(given, Mapping):
        raise StrategyError(
            f"resources must be amounts by Ray's names, such as {{'spot': 1}}, but got {given!r}"
        )
    amounts |= {f"resources[{name!r}]": amount for name, amount in given.items()}
    for name, amount in amounts.items():
        number = isinstance(amount, int | float) and not isinstance(amount, bool)
        if not number or not 0 <= amount < math.inf:  # type: ignore[operator]  # it is a number
            raise StrategyError(f"{name} must be a number of 0 or more, but got {amount!r}")
    if reserved := {"CPU", "GPU"} & {*given}:
        raise StrategyError(
            f"CPUs and GPUs are asked for with num_cpus= and num_gpus=, but resources= has "
            f"{' and '.join(sorted(reserved))}"
        )
    if not engine.needs:
        raise StrategyError(
            "a worker must need something that Ray can count, but num_cpus, num_gpus and all "
            "resources are 0"
        )


def _require_ray() -> None:
    try:
        import ray  # noqa: F401, PLC0415 - to name the extra that installs it
    except ImportError as error:
        raise UsageError(
            f"engine=ramet.Ray() needs Ray, but {error}; install it: pip install 'ramet[ray]'"
        ) from error


def _settle_threads(run: Run, num_cpus: float) -> int:
    """Return the threads of each worker: those on record, else as many as it has CPUs."""
    own = max(1, int(num_cpus))
    run.keep_to(Conditions(threads=own))
    return run.threads or own
