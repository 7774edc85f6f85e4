"""The share of the machine that each worker process gets: threads, GPUs and their memory."""

import logging
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ramet.engine.processes.allowance import (
    VISIBLE,
    own_threads,
    threads_given,
    usable_cores,
    visible_gpus,
)
from ramet.engine.run.device_memory import SHARERS, USABLE
from ramet.errors import StrategyError
from ramet.strategies.base import check_count

logger = logging.getLogger("ramet")


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """How many worker processes there are, and which part of the machine each gets.

    Args:
        workers: How many; 0 trains in this process.
        threads: Threads of each process, if the user says.
        gpus: GPUs of each process, or the part of one, if the user says.
    """

    workers: int
    threads: int | None = None
    gpus: float | None = None

    def __post_init__(self) -> None:
        if self.threads is not None:
            check_count("threads", self.threads, "threads of each worker process")
        if self.gpus is not None:
            check_part("gpus", self.gpus)

    def check_gpus(self) -> None:
        """Refuse shares of GPUs that are more than there are."""
        check_gpus(visible_gpus(os.environ), workers=self.workers, per_worker=self.gpus)

    @property
    def asked(self) -> int | None:
        """The threads of each process that the engine or the environment asks for."""
        return self.threads or threads_given(os.environ)

    @property
    def default(self) -> int:
        """The threads of each process if nothing else is set."""
        return max(1, usable_cores() // self.workers) if self.workers else own_threads(os.environ)

    def environments(self, threads: int) -> list[dict[str, str]]:
        """Return the environment of each worker process.

        Args:
            threads: The threads of each.
        """
        gpus = visible_gpus(os.environ)
        # The engine's own setting is stronger than the environment, which is for all programs.
        given = {
            name: value
            for name, value in os.environ.items()
            if not (self.threads and name in THREADS)
        }
        return [
            environment_of(
                index,
                threads=threads,
                gpus=gpus,
                gpus_per_worker=self.gpus,
                given=given,
                workers=self.workers,
            )
            for index in range(self.workers)
        ]


# Where the libraries that training calls look up how many threads to start.
THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
# Where JAX looks up how much of a GPU's memory it takes, and when.
JAX_MEMORY = (
    "XLA_PYTHON_CLIENT_MEM_FRACTION",
    "XLA_CLIENT_MEM_FRACTION",
    "XLA_PYTHON_CLIENT_PREALLOCATE",
    "XLA_PYTHON_CLIENT_ALLOCATOR",
)
# Processes that share a GPU are never more than its inverse.
SMALLEST_PART = 1e-3


def environment_of(
    worker: int,
    *,
    threads: int,
    gpus: Sequence[str],
    gpus_per_worker: float | None,
    given: Mapping[str, str],
    workers: int,
) -> dict[str, str]:
    """Return the environment of a worker process; variables that the user set stay as they are.

    >>> environment_of(
    ...     1, threads=4, gpus=["0", "1"], gpus_per_worker=None, given={}, workers=2
    ... )
    {'OMP_NUM_THREADS': '4', 'OPENBLAS_NUM_THREADS': '4', 'MKL_NUM_THREADS': '4', \
'NUMEXPR_NUM_THREADS': '4', 'VECLIB_MAXIMUM_THREADS': '4', 'CUDA_VISIBLE_DEVICES': '1', \
'RAMET_DEVICE_WORKERS': '1'}

    Args:
        worker: The worker's number, from 0.
        threads: Its threads.
        gpus: The names of all GPUs.
        gpus_per_worker: How many GPUs it sees, or the part of one; None is one, in turn.
        given: The variables that are set already.
        workers: How many workers there are.
    """
    environment = {**dict.fromkeys(THREADS, str(threads)), **given}
    if gpus:
        own = share(worker, gpus, gpus_per_worker)
        environment[VISIBLE] = ",".join(own)
        sharers = sum(share(each, gpus, gpus_per_worker) == own for each in range(workers))
        environment[SHARERS] = str(sharers)
        environment |= memory_of(_places(gpus_per_worker) or sharers, given)
    return environment


def _places(per_worker: float | None) -> int | None:
    """Return how many workers have a place on one GPU, if the user says which part each gets."""
    if per_worker is None:
        return None
    return int(1 / per_worker) if per_worker < 1 else 1


def memory_of(places: int, given: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that leave a GPU's memory for others, unless the user set one.

    JAX takes three quarters of it at the start. PyTorch takes what it needs.

    >>> memory_of(2, given={}), memory_of(1, given={})
    ({'XLA_PYTHON_CLIENT_MEM_FRACTION': '0.450'}, {})

    Args:
        places: How many workers share the GPU.
        given: The variables that are set already.
    """
    if places == 1 or any(name in given for name in JAX_MEMORY):
        return {}
    # Rounded down.
    return {JAX_MEMORY[0]: f"{int(1_000 * USABLE / places) / 1_000:.3f}"}


def share(worker: int, gpus: Sequence[str], per_worker: float | None) -> Sequence[str]:
    """Return the GPUs that a worker sees: whole ones of its own, or one that it shares.

    >>> [share(worker, ["0", "1"], 0.5) for worker in range(4)]
    [['0'], ['0'], ['1'], ['1']]

    Args:
        worker: The worker's number, from 0.
        gpus: The names of all GPUs.
        per_worker: How many GPUs each worker sees, or the part of one; None is one, in turn.
    """
    if per_worker is None:
        return [gpus[worker % len(gpus)]]
    if per_worker < 1:
        return [gpus[worker // int(1 / per_worker)]]
    first = worker * int(per_worker)
    return gpus[first : first + int(per_worker)]


def check_gpus(gpus: Sequence[str], *, workers: int, per_worker: float | None) -> None:
    """Refuse shares of GPUs that are more than there are.

    Args:
        gpus: The names of all GPUs.
        workers: How many worker processes there are.
        per_worker: How many GPUs each sees, or the part of one.
    """
    if per_worker is None:
        return
    check_part("gpus", per_worker)
    # A part of a GPU lies on one.
    needed = workers * per_worker if per_worker >= 1 else -(-workers // int(1 / per_worker))
    if needed > len(gpus):
        raise StrategyError(
            f"workers x gpus must not be more than the GPUs there are, but got ({workers=}, "
            f"gpus={per_worker}) and {len(gpus)} GPUs; {VISIBLE} names them where they are not "
            f"found"
        )


def check_part(name: str, gpus: object) -> None:
    """Refuse what is neither a number of GPUs nor a part of one.

    Args:
        name: The name of the setting.
        gpus: What it is set to.
    """
    number = isinstance(gpus, int | float) and not isinstance(gpus, bool)
    if not number or not SMALLEST_PART <= gpus < math.inf or (gpus > 1 and gpus != int(gpus)):  # type: ignore[operator, call-overload]  # it is a number
        raise StrategyError(
            f"{name} must be a whole number, or a part of one GPU, at least "
            f"{SMALLEST_PART}, but got {gpus!r}"
        )


def count_workers(*, threads: int | None, gpus: float | None) -> int:
    """Return how many worker processes the machine can serve.

    Args:
        threads: The threads of each; None is what OMP_NUM_THREADS says, or one.
        gpus: The GPUs of each, or the part of one; None is one GPU, if there are any.
    """
    return fitting_workers(
        cores=usable_cores(),
        gpus=len(visible_gpus(os.environ)),
        threads=threads or threads_given(os.environ) or 1,
        per_worker=gpus,
    )


def fitting_workers(*, cores: int, gpus: int, threads: int, per_worker: float | None) -> int:
    """Return how many worker processes a machine can serve: one for each share of GPUs or cores.

    >>> fitting_workers(cores=8, gpus=0, threads=2, per_worker=None)
    4
    >>> [fitting_workers(cores=8, gpus=2, threads=1, per_worker=each) for each in (None, 0.5, 2)]
    [2, 4, 1]

    Args:
        cores: The cores of the machine.
        gpus: Its GPUs.
        threads: The cores of each worker, if there are no GPUs.
        per_worker: The GPUs of each worker, or the part of one; None is one.
    """
    if not gpus:
        return max(1, cores // threads)
    each = per_worker or 1
    return max(1, gpus * int(1 / each) if each < 1 else gpus // int(each))
