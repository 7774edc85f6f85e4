"""Kill everything, again and again, and see whether anything is lost.

    python -m benchmarks.crash --kills 200 --json
    python -m benchmarks.crash --kills 60 --engine vectorized --json

A synchronous run of PBT or, with ``--strategy fire``, of FIRE is trained once in one process that
is left alone. Then it is trained in 1, 2 and 4 worker processes: with each of them killed at every
named point of a turn, and with SIGKILL for a process chosen at random, at random times: a worker,
or the parent of them all, which is then started anew. One line is printed for each number of
workers, and one for all. With ``--engine vectorized`` one process trains all members at once.

``lost_turns_beyond_flight`` counts turns that ended, as a worker knew, and that were trained again
or are not in the log; ``identical_final_population`` compares bit for bit, checkpoints'
digests and all; ``doctor_errors`` are what `ramet doctor` finds. ``met_in_one_turn`` counts trials
that were repeated, because three workers happened to die in the same turn: such a turn is given up.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import ramet
from benchmarks.bowls import Bowls
from benchmarks.reporting import parser, report
from ramet.events import TurnEnded, TurnLost, canonical
from ramet.faults import POINTS, VARIABLE
from ramet.history import Result
from ramet.history.doctor import examine
from ramet.places import place

WORKERS = (1, 2, 4)
# Stands for training all members at once, without worker processes.
TOGETHER = 0
STEPS, TURN_S = 1_200, 0.004
# Between two kills: some come while workers start, some when they have trained for long.
PAUSES_S = (0.05, 0.6)
# Kills before some turn must have been begun.
IN_A_ROW = 3

# What is summed up for each number of workers.
SUMMED = ("kills", "at_points", "met_in_one_turn", "lost", "different", "doctor_errors")

SPACE = ramet.Space(lr=ramet.LogUniform(1e-3, 1.0), decay=ramet.Uniform(0.0, 0.5))
STRATEGIES: dict[str, ramet.Strategy] = {
    "pbt": ramet.PBT(population=8, turn_steps=10, synchronous=True),
    "fire": ramet.FIRE(turn_steps=10, evaluate_every=1, size=3, evaluators=3),
}


class Descent:
    """Noisy descent in a bowl, that notes outside of the store which turns have ended."""

    def __init__(self, notes: Path | None, turn_s: float) -> None:
        self.notes, self.turn_s = notes, turn_s

    def __call__(self, session: ramet.Session) -> None:
        state = {"w": session.rng.normal(size=64)}
        before: ramet.Turn | None = None
        for turn in session.turns(state):
            # The last turn was told before this one was asked for.
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
        """Write a line that no other process's can come into."""
        if self.notes is not None and turn is not None:
            with self.notes.open("a") as notes:
                notes.write(f"{what} {turn.member} {turn.number}\n")


def make_engine(workers: int) -> ramet.Engine:
    """Return what trains a run: so many worker processes, or all members at once if 0."""
    if workers != TOGETHER:
        return ramet.Processes(workers, progress=False)
    return ramet.Vectorized(chunk=1, progress=False)


def train(folder: Path, strategy: str, *, workers: int, turn_s: float) -> Result:
    """Train the run in a folder, from wherever it is."""
    return ramet.run(
        Descent(folder / "notes", turn_s),
        SPACE,
        STRATEGIES[strategy],
        steps=STEPS,
        mode="max",
        name="crash",
        store=ramet.Storage(folder / "runs.db", durability="process"),
        engine=make_engine(workers),
        seed=0,
    )


def unkilled(strategy: str, engine: ramet.Engine) -> Result:
    """Train it where nothing happens."""
    return ramet.run(
        Descent(None, 0.0),
        SPACE,
        STRATEGIES[strategy],
        steps=STEPS,
        mode="max",
        name="crash",
        seed=0,
        engine=engine,
    )


class Victims:
    """The process that trains the run in a folder, and its workers."""

    def __init__(
        self, folder: Path, strategy: str, *, workers: int, crash_at: str | None = None
    ) -> None:
        command = [sys.executable, "-m", "benchmarks.crash", "--train", str(folder)]
        self._command = [*command, "--strategy", strategy, "--workers", str(workers)]
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
        """Kill one of them, the parent more rarely; say whether it was still there."""
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


def kill_at_random(
    folder: Path, strategy: str, *, workers: int, kills: int, chance: random.Random
) -> int:
    """Train a run while its processes are killed; return how many were."""
    victims = Victims(folder, strategy, workers=workers)
    done = in_a_row = size = 0
    while victims.running():
        time.sleep(chance.uniform(*PAUSES_S) if done < kills else 0.05)
        before, size = size, written(folder / "notes")
        in_a_row = in_a_row if size == before else 0
        # Six deaths in a row without a turn are taken for a fault of the training.
        if done < kills and in_a_row < IN_A_ROW:
            killed = victims.kill_one(chance)
            done, in_a_row = done + killed, in_a_row + killed
    return done


def written(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0


def kill_at_point(folder: Path, strategy: str, point: str, *, workers: int) -> None:
    """Train a run whose workers each die the third time that they reach a point."""
    victims = Victims(folder, strategy, workers=workers, crash_at=f"{point}:3")
    while victims.running():
        time.sleep(0.05)


def judged(folder: Path, reference: Result) -> dict[str, int]:
    """Return what a run that was killed has come to."""
    where = place(folder / "runs.db")
    result = Result(store=where.store, blobs=where.blobs, name="crash")
    same = result.population == reference.population and canonical(result.events) == canonical(
        reference.events
    )
    return {
        "lost": lost(folder / "notes", result),
        "different": int(not same),
        "doctor_errors": len(examine(where.store, where.blobs, "crash")),
    }


def lost(notes: Path, result: Result) -> int:
    """Count the turns that were over, and were begun again or are not in the log."""
    over: set[tuple[int, int]] = set()
    again = 0
    for what, member, turn in (line.split() for line in notes.read_text().splitlines()):
        key = int(member), int(turn)
        if what == "over":
            over.add(key)
        elif key in over:
            again += 1
    ended = {(event.member, event.turn) for event in result.events if isinstance(event, TurnEnded)}
    return again + len(over - ended)


def trials(
    strategy: str, kills: int, seed: int, workers_of_each: Sequence[int]
) -> Iterator[dict[str, Any]]:
    """Yield what came of each way of being killed, for each number of workers."""
    inline = ramet.Inline(progress=False)
    reference = unkilled(strategy, inline if all(workers_of_each) else make_engine(TOGETHER))
    chance = random.Random(seed)  # noqa: S311 - nobody is to be kept from guessing
    for workers in workers_of_each:
        sums = dict.fromkeys(SUMMED, 0)
        left = -(-kills // len(workers_of_each))
        while left > sums["kills"]:
            with tempfile.TemporaryDirectory() as name:
                folder = Path(name)
                wanted = left - sums["kills"]
                sums["kills"] += kill_at_random(
                    folder, strategy, workers=workers, kills=wanted, chance=chance
                )
                add(sums, judged(folder, reference))
        for point in POINTS:
            while not (found := at_point(strategy, point, reference, workers=workers)):
                sums["met_in_one_turn"] += 1
            add(sums, found)
            sums["at_points"] += 1
        yield {"workers": workers, **sums}


def at_point(
    strategy: str, point: str, reference: Result, *, workers: int
) -> dict[str, int] | None:
    """Return what a run has come to whose workers died at a point; None if three met in one turn.

    Then the turn was given up, as a training's own fault is: the run must not be as if nothing had
    happened.
    """
    with tempfile.TemporaryDirectory() as name:
        kill_at_point(Path(name), strategy, point, workers=workers)
        found = judged(Path(name), reference)
        where = place(Path(name) / "runs.db")
        events = Result(store=where.store, blobs=where.blobs, name="crash").events
    given_up = any(isinstance(event, TurnLost) and event.why == "fatal" for event in events)
    return None if given_up and not (found["lost"] or found["doctor_errors"]) else found


def add(sums: dict[str, int], more: dict[str, int]) -> None:
    for name, count in more.items():
        sums[name] += count


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--kills", type=int, default=200)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--strategy", choices=list(STRATEGIES), default="pbt")
    options.add_argument("--engine", choices=["processes", "vectorized"], default="processes")
    options.add_argument("--train", type=Path, help=argparse.SUPPRESS)
    options.add_argument("--workers", type=int, default=1, help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.train is not None:
        train(chosen.train, chosen.strategy, workers=chosen.workers, turn_s=TURN_S)
        return
    total: dict[str, int] = {}
    workers = WORKERS if chosen.engine == "processes" else (TOGETHER,)
    for line in trials(chosen.strategy, chosen.kills, chosen.seed, workers):
        report(line, as_json=chosen.json)
        for name, count in line.items():
            total[name] = total.get(name, 0) + count
    figures = {
        "kills": total["kills"],
        "at_points": total["at_points"],
        "lost_turns_beyond_flight": total["lost"],
        "identical_final_population": total["different"] == 0,
        "doctor_errors": total["doctor_errors"],
    }
    report(figures, as_json=chosen.json)


if __name__ == "__main__":
    main()
