"""Kill everything, again and again, and see whether anything is lost.

    python -m benchmarks.crash --kills 200 --json
    python -m benchmarks.crash --kills 60 --engine vectorized --json
    python -m benchmarks.crash --kills 100 --store postgresql --blobs s3 --json
    python -m benchmarks.crash --kills 100 --store postgresql --blobs s3 --faults --json

A synchronous run of PBT or, with ``--strategy fire``, of FIRE is trained once in one process that
is left alone. Then it is trained in 1, 2 and 4 worker processes: with each of them killed at every
named point of a turn, and with SIGKILL for a process chosen at random, at random times: a worker,
or the parent of them all, which is then started anew. One line is printed for each number of
workers, and one for all. With ``--engine vectorized`` one process trains all members at once.

With ``--faults``, the server of PostgreSQL crashes as well, once for every five kills, and one
request to object storage in 25 fails: the server answers 500 or 503, hangs up, or its answer breaks
off or is too short. Turns then wait for the server's disk, which they need not do if only our own
processes die.

``lost_turns_beyond_flight`` counts turns that ended, as a worker knew, and that were trained again
or are not in the log; ``identical_final_population`` compares bit for bit, checkpoints'
digests and all; ``doctor_errors`` are what `ramet doctor` finds. ``met_in_one_turn`` counts trials
that were repeated, because three workers happened to die in the same turn: such a turn is given up.
"""

import argparse
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ramet
from benchmarks.reporting import parser, report
from benchmarks.stores import (
    add_blobs,
    add_store,
    bucket,
    called,
    crashing_database,
    database,
    empty_store,
)
from benchmarks.victims import STRATEGIES, TOGETHER, Training, Victims, make_engine, train
from ramet.events import TurnEnded, TurnLost, canonical
from ramet.faults import POINTS
from ramet.history import Result
from ramet.history.doctor import examine
from ramet.places import place
from ramet.store import Durability

WORKERS = (1, 2, 4)
# For each member.
STEPS = 1_200
# Between two kills: some come while workers start, some when they have trained for long.
PAUSES_S = (0.05, 0.6)
# The number of kills by which a turn must have begun.
IN_A_ROW = 3
# After how many kills the server crashes.
KILLS_A_CRASH = 5

# What is summed up for each number of workers.
SUMMED = ("kills", "restarts", "at_points", "met_in_one_turn", "lost", "different", "doctor_errors")


@dataclass(frozen=True, kw_only=True)
class Ground:
    """Where runs are recorded."""

    url: str | None = None
    blobs: str | None = None
    durability: Durability = "process"
    # Lets the server crash, and starts it again.
    restart: Callable[[], None] | None = None

    @contextmanager
    def trial(self, strategy: str, *, workers: int, steps: int) -> Iterator[tuple[Training, Path]]:
        """Provide a training in a store of its own, and a folder for its notes."""
        with empty_store(self.url, self.durability, self.blobs) as (storage, folder):
            yield (
                Training(
                    strategy=strategy,
                    steps=steps,
                    workers=workers,
                    store=str(storage.store),
                    blobs=None if storage.blobs is None else str(storage.blobs),
                    durability=self.durability,
                ),
                folder,
            )


def kill_at_random(
    folder: Path, training: Training, ground: Ground, *, kills: int, chance: random.Random
) -> dict[str, int]:
    """Train a run while its processes are killed; return how often what happened."""
    victims = Victims(folder, training)
    done = restarts = in_a_row = size = 0
    while victims.running():
        time.sleep(chance.uniform(*PAUSES_S) if done < kills else 0.05)
        before, size = size, written(folder / "notes")
        in_a_row = in_a_row if size == before else 0
        if ground.restart and restarts < done // KILLS_A_CRASH:
            # Once a turn begins, its worker is connected, and waits for the server.
            if size > before:
                ground.restart()
                restarts += 1
        # Six deaths in a row without a turn count as a fault of the training.
        elif done < kills and in_a_row < IN_A_ROW:
            killed = victims.kill_one(chance)
            done, in_a_row = done + killed, in_a_row + killed
    return {"kills": done, "restarts": restarts}


def written(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0


def kill_at_point(folder: Path, training: Training, point: str) -> None:
    """Train a run in which each worker dies the third time that it reaches a point."""
    victims = Victims(folder, training, crash_at=f"{point}:3")
    while victims.running():
        time.sleep(0.05)


def judged(folder: Path, training: Training, reference: Result) -> tuple[dict[str, int], bool]:
    """Return how a run that was killed ended, and whether a turn was given up."""
    where = place(training.storage)
    result = Result(store=where.store, blobs=where.blobs, name="crash")
    same = result.population == reference.population and canonical(result.events) == canonical(
        reference.events
    )
    found = {
        "lost": lost(folder / "notes", result),
        "different": int(not same),
        "doctor_errors": len(examine(where.store, where.blobs, "crash")),
    }
    given_up = any(isinstance(event, TurnLost) and event.why == "fatal" for event in result.events)
    where.close()
    return found, given_up


def lost(notes: Path, result: Result) -> int:
    """Count the turns that were over, and then began again or are not in the log."""
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
    ground: Ground,
    strategy: str,
    *,
    steps: int,
    kills: int,
    seed: int,
    workers_of_each: Sequence[int],
) -> Iterator[dict[str, Any]]:
    """Yield what came of each way of being killed, for each number of workers."""
    # Where nothing happens.
    reference = Training(strategy=strategy, steps=steps, workers=TOGETHER).train(
        None,
        turn_s=0.0,
        engine=ramet.Inline(progress=False) if all(workers_of_each) else make_engine(TOGETHER),
    )
    chance = random.Random(seed)  # noqa: S311 - nobody is to be kept from guessing
    for workers in workers_of_each:
        sums = dict.fromkeys(SUMMED, 0)
        left = -(-kills // len(workers_of_each))
        while left > sums["kills"]:
            with ground.trial(strategy, workers=workers, steps=steps) as (training, folder):
                wanted = left - sums["kills"]
                add(sums, kill_at_random(folder, training, ground, kills=wanted, chance=chance))
                add(sums, judged(folder, training, reference)[0])
        for point in POINTS:
            while True:
                with ground.trial(strategy, workers=workers, steps=steps) as (training, folder):
                    kill_at_point(folder, training, point)
                    found, given_up = judged(folder, training, reference)
                # Three died in one turn, which counts as a fault of the training: it was given up,
                # and the run must not be as if nothing had happened.
                if not given_up or found["lost"] or found["doctor_errors"]:
                    break
                sums["met_in_one_turn"] += 1
            add(sums, found)
            sums["at_points"] += 1
        yield {"workers": workers, **sums}


def add(sums: dict[str, int], more: dict[str, int]) -> None:
    for name, count in more.items():
        sums[name] += count


@contextmanager
def grounds(store: str, blobs: str, *, faults: bool) -> Iterator[Ground]:
    """Provide where runs are recorded, with servers that are started for it."""
    with ExitStack() as stack:
        kept = stack.enter_context(bucket(blobs, faults=faults))
        if faults and store == "postgresql":
            url, restart = stack.enter_context(crashing_database())
            yield Ground(url=url, blobs=kept, durability="power", restart=restart)
        else:
            yield Ground(url=stack.enter_context(database(store)), blobs=kept)


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--kills", type=int, default=200)
    options.add_argument("--steps", type=int, default=STEPS, help="of each member, 10 a turn")
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--strategy", choices=list(STRATEGIES), default="pbt")
    options.add_argument("--engine", choices=["processes", "vectorized"], default="processes")
    add_store(options)
    add_blobs(options)
    options.add_argument("--faults", action="store_true", help="let the servers fail as well")
    options.add_argument("--train", type=Path, help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.train is not None:
        train(chosen.train)
        return
    if chosen.faults and chosen.store != "postgresql" and chosen.blobs != "s3":
        options.error("--faults needs servers that can fail: --store postgresql or --blobs s3")
    total: dict[str, int] = {}
    workers = WORKERS if chosen.engine == "processes" else (TOGETHER,)
    with grounds(chosen.store, chosen.blobs, faults=chosen.faults) as ground:
        for line in trials(
            ground,
            chosen.strategy,
            steps=chosen.steps,
            kills=chosen.kills,
            seed=chosen.seed,
            workers_of_each=workers,
        ):
            report(line, as_json=chosen.json)
            for name, count in line.items():
                total[name] = total.get(name, 0) + count
    figures = {
        "store": called(chosen.store),
        "blobs": called(chosen.blobs),
        "kills": total["kills"],
        **({"restarts": total["restarts"]} if chosen.faults else {}),
        "at_points": total["at_points"],
        "lost_turns_beyond_flight": total["lost"],
        "identical_final_population": total["different"] == 0,
        "doctor_errors": total["doctor_errors"],
    }
    report(figures, as_json=chosen.json)


if __name__ == "__main__":
    main()
