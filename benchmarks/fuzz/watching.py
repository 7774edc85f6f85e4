"""The process that watches: trials run in another one, which may hang or die."""

import multiprocessing
import sys
import tempfile
import time
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from benchmarks.fuzz.targets import Target
from benchmarks.fuzz.trying import try_out

LOOK_S = 0.05
# Stop a target after its process has died or hung this often.
ENOUGH = 20


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much is tried."""

    seed: int
    # The number of the first trial.
    first: int = 0
    # How many trials, or for how long.
    trials: int | None = None
    seconds: float | None = None
    # For one trial.
    limit_s: float = 10.0
    # Of memory that a trial may take, in addition to the interpreter's.
    limit_mb: int = 200


@dataclass(kw_only=True)
class Tally:
    """The outcome of a target's trials."""

    target: str
    trials: int = 0
    crashes: int = 0
    hangs: int = 0
    escapes: int = 0
    peak_mb: float = 0.0
    # What went wrong, in words.
    said: list[str] = field(default_factory=list)

    @property
    def faults(self) -> int:
        return self.crashes + self.hangs + self.escapes

    def figures(self) -> dict[str, Any]:
        names = ("target", "trials", "crashes", "hangs", "escapes", "peak_mb")
        return {name: getattr(self, name) for name in names}

    def say(self, what: str) -> None:
        self.said.append(f"{self.target}: {what}")
        print(self.said[-1], file=sys.stderr, flush=True)


def fuzz(name: str, target: Target, plan: Plan) -> Tally:
    """Run trials of a target in processes of their own, one after the other."""
    tally, until = Tally(target=name), time.monotonic() + (plan.seconds or float("inf"))
    following: Plan | None = plan
    while following is not None and tally.faults < ENOUGH:
        with tempfile.TemporaryDirectory(prefix="ramet-fuzz-") as folder:
            following = _watched(tally, target, following, until, Path(folder))
    return tally


def _watched(tally: Tally, target: Target, plan: Plan, until: float, folder: Path) -> Plan | None:
    """Run trials until they end, or one hangs or kills its process; return what is left to do."""
    spawning = multiprocessing.get_context("spawn")
    ours, theirs = spawning.Pipe()
    # The number of the trial under way, when it began, and whether to stop.
    at = spawning.Array("d", [plan.first, time.monotonic() + 60.0, 0.0], lock=False)
    process = spawning.Process(target=try_out, args=(target, plan, folder, at, theirs))
    process.start()
    theirs.close()
    hung = False
    while process.is_alive():
        # Before its pipe is full: a trial would wait until it is read.
        _take_in(tally, ours, wait_s=LOOK_S)
        at[2] = time.monotonic() > until
        if hung := time.monotonic() - at[1] > plan.limit_s:
            process.kill()
            process.join()
    number = int(at[0])
    _take_in(tally, ours)
    if hung:
        tally.hangs += 1
        tally.say(f"trial {number} of seed {plan.seed} took longer than {plan.limit_s:g} s")
    elif process.exitcode:
        tally.crashes += 1
        tally.say(f"trial {number} of seed {plan.seed} ended its process: {process.exitcode}")
    else:
        return None
    tally.trials += number + 1 - plan.first
    left = None if plan.trials is None else plan.trials - (number + 1 - plan.first)
    return replace(plan, first=number + 1, trials=left) if left != 0 else None


def _take_in(tally: Tally, reports: Connection, *, wait_s: float = 0.0) -> None:
    """Take in what was reported; wait for as long for the first of it, or for the end."""
    try:
        while reports.poll(wait_s):
            _count(tally, *reports.recv())
            wait_s = 0.0
    except (EOFError, OSError):
        # Everything was reported, or the last report was cut off: the process is about to end.
        time.sleep(wait_s)


def _count(tally: Tally, name: str, value: float, said: str) -> None:
    """Take in what the process that tried reports."""
    if name == "peak_mb":
        tally.peak_mb = max(tally.peak_mb, value)
    else:
        setattr(tally, name, getattr(tally, name) + value)
    if said:
        tally.say(said)
