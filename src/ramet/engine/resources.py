"""What each worker process gets of the machine: threads, and which GPUs it sees."""

import itertools
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from ramet.errors import StrategyError

# Where the libraries that training calls look up how many threads to start.
THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
# The one that libraries fall back to, most of them behind a variable of their own.
ALL_LIBRARIES = "OMP_NUM_THREADS"
VISIBLE = "CUDA_VISIBLE_DEVICES"
# Where Linux says how much of the machine a container gets.
CPU_MAX = Path("/sys/fs/cgroup/cpu.max")


def environment_of(
    worker: int,
    *,
    threads: int,
    gpus: Sequence[str],
    gpus_per_worker: float | None,
    given: Mapping[str, str],
) -> dict[str, str]:
    """Return the environment of a worker with so many threads; what the user set stays as it is.

    >>> environment_of(1, threads=4, gpus=["0", "1"], gpus_per_worker=None, given={})
    {'OMP_NUM_THREADS': '4', 'OPENBLAS_NUM_THREADS': '4', 'MKL_NUM_THREADS': '4', \
'NUMEXPR_NUM_THREADS': '4', 'VECLIB_MAXIMUM_THREADS': '4', 'CUDA_VISIBLE_DEVICES': '1'}
    """
    environment = {**dict.fromkeys(THREADS, str(threads)), **given}
    if gpus:
        environment[VISIBLE] = ",".join(share(worker, gpus, gpus_per_worker))
    return environment


def share(worker: int, gpus: Sequence[str], per_worker: float | None) -> Sequence[str]:
    """Return the GPUs that a worker sees: whole ones of its own, or a part of one.

    >>> [share(worker, ["0", "1"], 0.5) for worker in range(4)]
    [['0'], ['0'], ['1'], ['1']]
    """
    if per_worker is None:
        return [gpus[worker % len(gpus)]]
    if per_worker < 1:
        return [gpus[worker // int(1 / per_worker)]]
    first = worker * int(per_worker)
    return gpus[first : first + int(per_worker)]


def check_gpus(gpus: Sequence[str], *, workers: int, per_worker: float | None) -> None:
    """Refuse a share that is no share, or more than there is."""
    if per_worker is None:
        return
    if not 0 < per_worker < math.inf or (per_worker > 1 and per_worker != int(per_worker)):
        raise StrategyError(
            f"gpus_per_worker must be a whole number, or a part of one GPU above 0, but got "
            f"{per_worker!r}"
        )
    # A part of a GPU lies on one.
    needed = workers * per_worker if per_worker >= 1 else -(-workers // int(1 / per_worker))
    if needed > len(gpus):
        raise StrategyError(
            f"workers x gpus_per_worker must not be more than the GPUs there are, but got "
            f"({workers=}, gpus_per_worker={per_worker}) and {len(gpus)} GPUs; {VISIBLE} names "
            f"them where they are not found"
        )


def visible_gpus(given: Mapping[str, str]) -> list[str]:
    """Return the GPUs that this process may use, by the names that the driver knows them by."""
    if VISIBLE in given:
        names = [name.strip() for name in given[VISIBLE].split(",")]
        # The driver looks no further than the first that is none.
        return list(itertools.takewhile(lambda name: name not in {"", "-1"}, names))
    asked = shutil.which("nvidia-smi")
    if asked is None:
        return []
    command = [asked, "--query-gpu=index", "--format=csv,noheader"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - no input of anybody's
    return found.stdout.split() if found.returncode == 0 else []


def usable_cores() -> int:
    """Return the cores that this process may use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    quota = _quota(CPU_MAX.read_text()) if CPU_MAX.exists() else math.inf
    return int(max(1, min(cores or 1, quota)))


def threads_given(given: Mapping[str, str]) -> int | None:
    """Return the threads that the user sets for all libraries, if any.

    >>> threads_given({"OMP_NUM_THREADS": "4,2"}), threads_given({"MKL_NUM_THREADS": "4"})
    (4, None)
    """
    # A number for each level of nesting.
    outermost, *_ = given.get(ALL_LIBRARIES, "").split(",")
    return int(outermost) if outermost.strip().isdecimal() and int(outermost) else None


def own_threads(given: Mapping[str, str]) -> int:
    """Return the threads that numerical libraries have in this process."""
    # The only one of them that says so, where the training script has loaded it.
    asked = getattr(sys.modules.get("torch"), "get_num_threads", None)
    return threads_given(given) or usable_cores() if asked is None else int(asked())


def _quota(cpu_max: str) -> float:
    """Return how many cores' time a container may use, if that is limited.

    >>> _quota("150000 100000"), _quota("max 100000")
    (1.5, inf)
    """
    allowed, period = cpu_max.split()
    return math.inf if allowed == "max" else int(allowed) / int(period)
