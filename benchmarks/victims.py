"""The training that benchmarks.crash kills: a process, and its workers."""

import json
import logging
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import ramet
from benchmarks.bowls import Bowls
from ramet.errors import LeaseLost
from ramet.faults import VARIABLE
from ramet.history import Result
from ramet.store import Durability

# Stands for training all members at once, without worker processes.
TOGETHER = 0
TURN_S = 0.004
# The file that says what is trained.
TRAINING = "training.json"

SPACE = ramet.Space(lr=ramet.LogUniform(1e-3, 1.0), decay=ramet.Uniform(0.0, 0.5))
STRATEGIES: dict[str, ramet.Strategy] = {
    "pbt": ramet.PBT(population=8, turn_steps=10, synchronous=True),
    "fire": ramet.FIRE(turn_steps=10, evaluate_every=1, size=3, evaluators=3),
}


class Descent:
    """Noisy descent in a bowl, which notes outside of the store which turns are over."""

    def __init__(self, notes: Path | None, turn_s: float) -> None:
        self.notes, self.turn_s = notes, turn_s
        # Members and turns that were not committed: a server that crashes may forget a lease.
        self.refused: set[tuple[int, int]] = set()

    def __call__(self, session: ramet.Session) -> None:
        logging.getLogger("ramet").addFilter(self.remember_refused)
        state = {"w": session.rng.normal(size=64)}
        before: ramet.Turn | None = None
        for turn in session.turns(state):
            # The last turn had ended before this one was asked for.
            self.note("over", before)
            self.note("begun", turn)
            time.sleep(self.turn_s)
            for _ in turn:
                state["w"] -= turn.hparams["lr"] * (state["w"] + turn.rng.normal(size=64))
                state["w"] *= 1 - turn.hparams["decay"] / 100
                if turn.evaluation_due:
                    turn.report(-float(state["w"] @ state["w"]))
            before = turn
        self.note("over", before)

    def program(self, space: ramet.Space, **_: object) -> Bowls:
        del space
        return Bowls(self.note, self.turn_s)

    def note(self, what: str, turn: ramet.Turn | None) -> None:
        """Write a line at once, so that no other process can write into it."""
        if turn is not None and what == "over" and (turn.member, turn.number) in self.refused:
            return
        if self.notes is not None and turn is not None:
            with self.notes.open("a") as notes:
                notes.write(f"{what} {turn.member} {turn.number}\n")

    def remember_refused(self, record: logging.LogRecord) -> bool:
        """Remember a turn of which a warning says that its lease is lost."""
        if isinstance(record.args, tuple) and any(
            isinstance(arg, LeaseLost) for arg in record.args
        ):
            self.refused.add((record.__dict__["member"], record.__dict__["turn"]))
        return True


@dataclass(frozen=True, kw_only=True)
class Training:
    """What is trained, and where it is recorded; None is nowhere."""

    strategy: str
    steps: int
    # 0 stands for all members at once.
    workers: int
    store: str | None = None
    blobs: str | None = None
    durability: Durability = "process"

    @property
    def storage(self) -> ramet.Storage:
        return ramet.Storage(self.store, blobs=self.blobs, durability=self.durability)

    def train(self, notes: Path | None, *, turn_s: float, engine: ramet.Engine) -> Result:
        """Train from where the run stands."""
        return ramet.run(
            Descent(notes, turn_s),
            SPACE,
            STRATEGIES[self.strategy],
            steps=self.steps,
            mode="max",
            name="crash",
            store=self.storage,
            engine=engine,
            seed=0,
        )


def make_engine(workers: int) -> ramet.Engine:
    """Return what trains a run: so many worker processes, or all members at once if 0."""
    if workers != TOGETHER:
        return ramet.Processes(workers, progress=False)
    return ramet.Vectorized(chunk=1, progress=False)


def train(folder: Path) -> None:
    """Train what a folder names."""
    training = Training(**json.loads((folder / TRAINING).read_text()))
    training.train(folder / "notes", turn_s=TURN_S, engine=make_engine(training.workers))


class Victims:
    """The process that trains the run of a folder, and its workers."""

    def __init__(self, folder: Path, training: Training, *, crash_at: str | None = None) -> None:
        # Not among the arguments: a URL has a password.
        (folder / TRAINING).write_text(json.dumps(asdict(training)))
        self._command = [sys.executable, "-m", "benchmarks.crash", "--train", str(folder)]
        self._environment = {**os.environ, **({VARIABLE: crash_at} if crash_at else {})}
        self._log = (folder / "output").open("a")
        self._parent = self._start()

    def running(self) -> bool:
        """Say whether the run is being trained; go on with it if its parent was killed."""
        code = self._parent.poll()
        if code == -signal.SIGKILL:
            self._environment.pop(VARIABLE, None)
            self._parent = self._start()
        elif code is not None and code != 0:
            raise SystemExit(f"training ended with {code}: {Path(self._log.name).read_text()}")
        return code != 0

    def kill_one(self, chance: random.Random) -> bool:
        """Kill one of them, the parent more rarely; say whether it was still alive."""
        workers = children(self._parent.pid)
        chosen = chance.choice([*workers * 3, self._parent.pid])
        if self._parent.poll() is not None:
            return False
        try:
            os.kill(chosen, signal.SIGKILL)
        except ProcessLookupError:
            return False
        return True

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(  # noqa: S603 - this very file
            self._command, env=self._environment, stdout=self._log, stderr=self._log
        )


def children(parent: int) -> list[int]:
    """Return the processes that a process started and that are alive."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == parent and fields[0] not in {"Z", "X"}:
            found.append(int(stat.parent.name))
    return found
