"""Many worker processes on one run, for a while: is a turn lost or trained twice, does one wait?

    python -m benchmarks.crowd --store postgresql --workers 64 --members 256 --seconds 60 --json

The workers are forks of this process that ask and tell, in an asynchronous run or, with ``--sync``,
in a synchronous one. A turn is one addition. In the log, ``turns`` are those that ended, ``twice``
those that ended more than once, and ``missing`` those that did not, although later ones of their
member did. ``lost`` ended as a worker knew and are not in the log. ``failed`` counts workers that
ended with an error, and ``doctor_errors`` is what `ramet doctor` finds. ``longest_s`` is the
longest time from a worker's call for a turn to the turn's end, and ``cpu_s`` what all workers took
of processors.
"""

import json
import multiprocessing
import resource
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

import ramet
from benchmarks.overhead import SPACE
from benchmarks.reporting import parser, report
from benchmarks.stores import add_store, called, database, empty_store
from ramet.events import TurnEnded
from ramet.history import Result
from ramet.history.doctor import examine
from ramet.places import place

# More than any run has time for.
STEPS = 1_000_000


def begin(rng: np.random.Generator) -> dict[str, float]:
    del rng
    return {"progress": 0.0}


def work(
    storage: ramet.Storage, strategy: ramet.Strategy, *, until: float, notes: Path | None
) -> None:
    """Train turns until a time, and write which they were."""
    run = ramet.open(storage, space=SPACE, strategy=strategy, steps=STEPS, mode="max", seed=0)
    told, longest_s = [], 0.0
    while (began := time.time()) < until and (turn := run.ask()) is not None:
        state = turn.load(default=begin)
        for _ in turn:
            state["progress"] += turn.hparams["lr"] * (1 - turn.hparams["momentum"])
        run.tell(turn, state["progress"], state=state)
        told.append([turn.member, turn.number])
        longest_s = max(longest_s, time.time() - began)
    if notes is not None:
        notes.write_text(json.dumps({"told": told, "longest_s": longest_s}))


def measure(
    *, workers: int, members: int, seconds: float, synchronous: bool, url: str | None
) -> dict[str, Any]:
    """Let workers train, and compare the log with what they say."""
    strategy = ramet.PBT(population=members, turn_steps=1, synchronous=synchronous)
    forks = multiprocessing.get_context("fork")
    with empty_store(url, "process") as (storage, folder):
        # Begins the run, so that workers only take part.
        work(storage, strategy, until=0.0, notes=None)
        until = time.time() + seconds
        crew = [
            forks.Process(
                target=work,
                args=(storage, strategy),
                kwargs={"until": until, "notes": folder / f"{number}.json"},
            )
            for number in range(workers)
        ]
        for worker in crew:
            worker.start()
        for worker in crew:
            worker.join()
        said = [json.loads(notes.read_text()) for notes in folder.glob("*.json")]
        where = place(storage)
        name = where.choose(None)
        found = judge(Result(store=where.store, blobs=where.blobs, name=name), said)
        found["doctor_errors"] = len(examine(where.store, where.blobs, name))
        where.close()
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "workers": workers,
        "members": members,
        "synchronous": synchronous,
        "seconds": seconds,
        **found,
        "failed": sum(worker.exitcode != 0 for worker in crew),
        "longest_s": max((each["longest_s"] for each in said), default=0.0),
        "cpu_s": spent.ru_utime + spent.ru_stime,
    }


def judge(result: Result, said: list[dict[str, Any]]) -> dict[str, Any]:
    """Count the turns in the log, and compare them with what the workers say."""
    times = [logged.at for logged in result.log if isinstance(logged.event, TurnEnded)]
    ended = Counter(
        (event.member, event.turn) for event in result.events if isinstance(event, TurnEnded)
    )
    turns_of = Counter(member for member, _ in ended)
    expected = {(member, turn) for member, count in turns_of.items() for turn in range(count)}
    told = {(member, turn) for each in said for member, turn in each["told"]}
    return {
        "turns": len(ended),
        "turns_per_s": (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 else 0.0,
        "twice": sum(count > 1 for count in ended.values()),
        "missing": len(expected - ended.keys()),
        "lost": len(told - ended.keys()),
    }


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--workers", type=int, default=64)
    options.add_argument("--members", type=int, default=256)
    options.add_argument("--seconds", type=float, default=60.0)
    options.add_argument("--sync", action="store_true", help="the synchronous mode")
    add_store(options)
    chosen = options.parse_args()
    with database(chosen.store) as url:
        figures = measure(
            workers=chosen.workers,
            members=chosen.members,
            seconds=chosen.seconds,
            synchronous=chosen.sync,
            url=url,
        )
    report({"store": called(chosen.store), **figures}, as_json=chosen.json)


if __name__ == "__main__":
    main()
