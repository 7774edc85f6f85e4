"""The process that tries: trial after trial, under a limit of memory and a guard."""

import random
import shutil
import time
import traceback
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.fuzz.guard import Guard
from benchmarks.fuzz.targets import Target
from ramet.errors import RametError

if TYPE_CHECKING:
    from benchmarks.fuzz.watching import Plan


def try_out(target: Target, plan: "Plan", folder: Path, at: Any, out: Connection) -> None:
    """Run the trials of a plan, and report what went wrong."""
    guard = Guard()
    # A target prepares here what it needs once: without a limit, and outside of any trial's time.
    target(_rng(plan.seed, plan.first), _emptied(folder))
    _limit_memory(plan.limit_mb)
    number = plan.first
    while not at[2] and number - plan.first != plan.trials:
        at[0], at[1] = number, time.monotonic()
        faults = _faults(target, guard, _rng(plan.seed, number), _emptied(folder))
        for name, said in faults:
            out.send((name, 1, f"trial {number} of seed {plan.seed}: {said}"))
        if faults or number % 100 == 0:
            out.send(("peak_mb", _status_mb("VmHWM"), ""))
        number += 1
    out.send(("trials", number - plan.first, ""))
    out.send(("peak_mb", _status_mb("VmHWM"), ""))


def _faults(
    target: Target, guard: Guard, rng: random.Random, folder: Path
) -> list[tuple[str, str]]:
    """Run one trial; return the name of each count that it raises, and why."""
    look = target(rng, folder)
    found: list[tuple[str, str]] = []
    guard.watch(folder)
    try:
        look()
    except RametError:
        pass
    except Exception:  # noqa: BLE001 - which is what is looked for
        found.append(("crashes", traceback.format_exc(limit=-4)))
    finally:
        guard.rest()
    return [*found, *(("escapes", escape) for escape in guard.escapes)]


def _rng(seed: int, number: int) -> random.Random:
    return random.Random(f"{seed}-{number}")  # noqa: S311 - nothing is secret


def _emptied(folder: Path) -> Path:
    """Return a folder to put files in, without those of the last trial."""
    inner = folder / "trial"
    shutil.rmtree(inner, ignore_errors=True)
    inner.mkdir()
    return inner


def _limit_memory(mb: int) -> None:
    import resource  # noqa: PLC0415 - only Unix has it

    limit = int((_status_mb("VmSize") + mb) * 1e6)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _status_mb(name: str) -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise SystemExit(f"a fuzzer needs {name} in /proc/self/status, which Linux has")
