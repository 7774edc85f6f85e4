"""What a store sustains under thousands of workers, which are simulated in virtual time.

    python -m benchmarks.simulate --workers 10000 --json
    python -m benchmarks.simulate --workers 1000 --members 1000 --turns 20 --vanish-every-s 600
    python -m benchmarks.simulate --workers 1000 --sync --spread 0.3 --store postgresql

One process plays all workers, one after the other, with the real store, leases and strategies;
nobody sleeps. ``virtual_s`` is how long the run would have taken. ``commits_per_s`` is what the
store takes from one client, turn by turn, with the claims and reads that belong to them;
``busy`` is the store's time, renewals and all, by that of the run: above 1 it could not keep up.
``claim_ms``, ``commit_ms`` and ``decide_ms`` are medians in each quarter of the run, ``decide_ms``
that of all but the store in a commit. ``waiting`` is the part of their time that workers waited for
a member. ``read_us`` is what each worker takes to read an event that others wrote, which is not
in the other figures. At the end the record is examined: ``each_turn_once``, ``folds``, and
``findings`` of the doctor.
"""

import math
import statistics
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast, get_args

from benchmarks.fleet import RUN, Fleet, Plan
from benchmarks.reporting import parser, report
from benchmarks.stores import add_store, called, database, name_schema
from ramet.events import Logged, TurnEnded, encode, fold
from ramet.history.doctor import log_findings
from ramet.store import Durability, SQLiteStore, Store
from ramet.testing import FakeClock, FakeProcesses


class Timed:
    """A store that passes its verbs on, and keeps how many seconds each call takes."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.taken: defaultdict[str, list[float]] = defaultdict(list)

    def __getattr__(self, name: str) -> Any:
        verb, taken = getattr(self._store, name), self.taken[name]

        def call(*args: Any, **settings: Any) -> Any:
            began = time.perf_counter()
            try:
                return verb(*args, **settings)
            finally:
                taken.append(time.perf_counter() - began)

        setattr(self, name, call)
        return call


@contextmanager
def virtual_store(
    url: str | None, durability: Durability, clock: FakeClock
) -> Iterator[tuple[Any, Path]]:
    """Provide a new store by the virtual clock, and the folder that its files are in.

    A lease runs out by that clock in PostgreSQL too, in place of the server's. All workers are one
    process, which is never gone: leases of workers that vanish run out.
    """
    processes = FakeProcesses()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if url is None:
            store: Any = SQLiteStore(
                folder / "runs.db", durability=durability, clock=clock, processes=processes
            )
        else:
            from ramet.store import PostgresStore  # noqa: PLC0415 - an extra

            store = PostgresStore(
                name_schema(url), durability=durability, clock=clock, processes=processes
            )
        try:
            yield store, folder
        finally:
            store.close()


def simulate(plan: Plan, store: Store, clock: FakeClock) -> dict[str, Any]:
    """Simulate a run, and return its figures."""
    timed = Timed(store)
    fleet = Fleet(plan, cast(Store, timed), clock)
    commits = time_commits(fleet)
    for calls in timed.taken.values():
        calls.clear()
    virtual_s = fleet.train()
    taken, counts = timed.taken, fleet.counts
    turns = len(counts.ended)
    store_s = sum(map(sum, taken.values()))
    deciding = [
        whole - commit - read
        for whole, commit, read in zip(commits, taken["commit"], taken["events"], strict=False)
    ]
    return {
        "turns": turns,
        "virtual_s": virtual_s,
        "commits_per_s": turns / (store_s - sum(taken["renew_all"])),
        "busy": store_s / virtual_s,
        "claim_ms": quarters_ms(taken["claim"]),
        "commit_ms": quarters_ms(taken["commit"]),
        "decide_ms": quarters_ms(deciding),
        "renewals": len(taken["renew_all"]),
        "renew_ms": statistics.median(taken["renew_all"] or [0.0]) * 1e3,
        "waiting": counts.waited_s / counts.here_s,
        "vanished": counts.vanished,
        "taken_over": counts.taken_over,
        "refused": counts.refused,
        **examine(fleet, store),
    }


def time_commits(fleet: Fleet) -> list[float]:
    """Return a list that gets what each commit takes in all: reading, deciding and writing."""
    commit, taken = fleet.journal.commit, []

    def timed(*args: Any, **settings: Any) -> None:
        began = time.perf_counter()
        try:
            commit(*args, **settings)
        finally:
            taken.append(time.perf_counter() - began)

    fleet.journal.commit = timed  # type: ignore[method-assign]  # measured from outside
    return taken


def quarters_ms(seconds: Sequence[float]) -> list[float]:
    """Return the median of each quarter, in milliseconds."""
    size = math.ceil(len(seconds) / 4)
    return [
        statistics.median(seconds[first : first + size]) * 1e3
        for first in range(0, len(seconds), max(size, 1))
    ]


def examine(fleet: Fleet, store: Store) -> dict[str, Any]:
    """Return what the record is like at the end, and whether it is sound."""
    began = time.perf_counter()
    log: list[Logged] = store.events(RUN)
    read_s = time.perf_counter() - began
    events = [logged.event for logged in log]
    ended = Counter((one.member, one.turn) for one in events if isinstance(one, TurnEnded))
    plan = fleet.plan
    due = [(member, turn) for member in range(plan.members) for turn in range(plan.turns)]
    turns = fleet.journal.turns
    return {
        "events_a_turn": len(log) / turns,
        "log_bytes_a_turn": sum(len(encode(event)) for event in events) / turns,
        "read_us": read_s / len(log) * 1e6,
        "each_turn_once": ended == Counter(due),
        "folds": fold(events).members == fleet.journal.population.members,
        "findings": [finding.what for finding in log_findings(store, RUN)],
    }


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--workers", type=int, default=1_000)
    options.add_argument("--members", type=int, default=None, help="default: one for each worker")
    options.add_argument("--turns", type=int, default=5, help="of each member")
    options.add_argument("--sync", action="store_true", help="a synchronous run")
    for name, what in TIMES.items():
        default = Plan.__dataclass_fields__[name].default
        options.add_argument(f"--{name.replace('_', '-')}", type=float, default=default, help=what)
    options.add_argument("--seed", type=int, default=0)
    add_store(options)
    options.add_argument("--durability", choices=get_args(Durability), default="power")
    chosen = options.parse_args()
    plan = Plan(
        workers=chosen.workers,
        members=chosen.members or chosen.workers,
        turns=chosen.turns,
        synchronous=chosen.sync,
        seed=chosen.seed,
        **{name: getattr(chosen, name) for name in TIMES},
    )
    clock = FakeClock()
    with (
        database(chosen.store) as url,
        virtual_store(url, chosen.durability, clock) as (store, folder),
    ):
        figures = simulate(plan, store, clock)
        store.close()
        in_file = sum(path.stat().st_size for path in folder.glob("runs.db*"))
    its = {"store": called(chosen.store), "durability": chosen.durability}
    its |= {"synchronous": plan.synchronous, "workers": plan.workers, "members": plan.members}
    its |= figures | ({"file_bytes_a_turn": in_file / figures["turns"]} if in_file else {})
    report(its, as_json=chosen.json)


TIMES = {
    "turn_s": "seconds of a turn",
    "spread": "how much workers differ in speed: the standard deviation of its logarithm",
    "jitter": "the same of the turns of one worker",
    "slow": "how many times longer the first worker takes",
    "vanish_every_s": "seconds after which a worker leaves, dies or freezes; never by default",
    "away_s": "seconds after which it is back",
    "join_within_s": "seconds within which the workers join",
    "lease_ttl_s": "seconds that a lease lasts unless it is renewed",
}


if __name__ == "__main__":
    main()
