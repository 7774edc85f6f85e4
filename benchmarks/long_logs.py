"""What the commands that look at a run take on long logs: seconds, and memory at the most.

    python -m benchmarks.long_logs --json

Two logs of as many turns are made first, in a temporary folder: one of few members that train for
long in rounds, one of many that do not wait for each other. A line for each command on each log.
``--turns`` is the turns of each log, ``--commands`` those to run. The doctor exits with 1, because
no checkpoint was written.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from benchmarks.lineage import log
from benchmarks.reporting import parser, report, require_turns
from ramet.events import AnyEvent, RunOpened, TurnEnded
from ramet.replica import Replica
from ramet.store import Lease, SQLiteStore, standing
from ramet.testing import FakeClock

# Members, and whether they wait for each other.
LOGS = ((20, True), (1_000, False))
WORKER = "worker-0"
# Seconds that a turn takes, by a clock that is set.
TURN_S = 0.01
# What is run on a store, in a folder for what it writes.
COMMANDS: dict[str, list[str]] = {
    "status": [],
    "runs": [],
    "report": ["-o", "report.html"],
    "lineage": [],
    "schedule": [],
    "export": ["-o", "turns.csv"],
    "doctor": [],
    "plot scores": ["-o", "scores.png"],
    "plot tree": ["-o", "tree.png"],
    "plot hyperparameter": ["--hyperparameter", "lr", "-o", "hyperparameter.png"],
    "plot workers": ["-o", "workers.png"],
    "plot lineage": ["-o", "lineage.png"],
}


def made(path: Path, members: int, turns: int, *, synchronous: bool) -> int:
    """Write a run turn by turn, as one worker does; return the number of its events."""
    clock, replica = FakeClock(), Replica()
    store = SQLiteStore(path, durability="process", clock=clock)
    events = log(members, turns // members, synchronous=synchronous)
    opening = cast(RunOpened, next(events))
    store.open_run(opening, worker=WORKER)
    replica.apply(opening)
    count = 1
    for commit in _commits(events):
        clock.sleep(TURN_S)
        replica.fold(commit)
        ids = sorted({id_ for it in commit if (id_ := getattr(it, "member", None)) is not None})
        turn = commit[0]
        lease = cast(
            Lease, store.seize("run", turn.member, turn=turn.turn, worker=WORKER, ttl_s=60.0)
        )
        clock.sleep(TURN_S)
        standings = [standing(replica.members[id_]) for id_ in ids]
        round_ = replica.round if synchronous else None
        store.commit(lease, commit, standings, round=round_)
        count += len(commit)
    store.close()
    return count


def _commits(events: Iterator[AnyEvent]) -> Iterator[list[Any]]:
    """Yield each turn with what follows it."""
    pending: list[Any] = []
    for event in events:
        if isinstance(event, TurnEnded) and pending:
            yield pending
            pending = []
        pending.append(event)
    yield pending


def measured(command: str, store: Path, folder: Path) -> dict[str, Any]:
    """Run a command in a process of its own, and return what that took."""
    verb, *kind = command.split()
    arguments = [verb, str(store), *kind, *COMMANDS[command]]
    began = time.perf_counter()
    process = subprocess.Popen(  # noqa: S603 - this program
        [sys.executable, "-m", "ramet", *arguments],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    unit = 1e6 if sys.platform == "darwin" else 1e3
    return {
        "seconds": time.perf_counter() - began,
        "cpu_s": used.ru_utime + used.ru_stime,
        "peak_mb": used.ru_maxrss / unit,
        "exit": process.returncode,
    }


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--turns", type=int, default=300_000)
    options.add_argument("--commands", nargs="*", choices=COMMANDS, default=list(COMMANDS))
    chosen = options.parse_args()
    require_turns(options, chosen.turns, members=max(members for members, _ in LOGS))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for members, synchronous in LOGS:
            store = folder / f"{members}.db"
            events = made(store, members, chosen.turns, synchronous=synchronous)
            for command in chosen.commands:
                figures = measured(command, store, folder)
                report(
                    {"command": command, "members": members, "events": events, **figures},
                    as_json=chosen.json,
                )


if __name__ == "__main__":
    main()
