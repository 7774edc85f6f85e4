"""What this process may use of the machine: cores, threads and GPUs."""

import itertools
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

# The one that libraries fall back to, most of them behind a variable of their own.
ALL_LIBRARIES = "OMP_NUM_THREADS"
# Where CUDA looks up which GPUs a process may use.
VISIBLE = "CUDA_VISIBLE_DEVICES"
# What stands there in place of a GPU; Slurm writes the last for a job without any.
NO_GPU = frozenset({"", "-1", "NoDevFiles"})
# Where Linux says how much of the machine a container gets.
CPU_MAX = Path("/sys/fs/cgroup/cpu.max")


def visible_gpus(given: Mapping[str, str]) -> list[str]:
    """Return the GPUs that this process may use, by the driver's names for them.

    Args:
        given: The environment.
    """
    if VISIBLE in given:
        names = [name.strip() for name in given[VISIBLE].split(",")]
        # The driver ignores everything from the first invalid name on.
        return list(itertools.takewhile(lambda name: name not in NO_GPU, names))
    asked = shutil.which("nvidia-smi")
    if asked is None:
        return []
    command = [asked, "--query-gpu=index", "--format=csv,noheader"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - no input of a user's
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

    >>> _quota("150000 100000"), _quota("max 100000"), _quota("not what Linux writes")
    (1.5, inf, inf)
    """
    match cpu_max.split():
        case [allowed, period] if allowed.isdecimal() and period.isdecimal() and int(period):
            return int(allowed) / int(period)
    return math.inf
