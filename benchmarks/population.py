"""What a claim and a commit cost in a file, and folding a turn, depending on the population.

    python -m benchmarks.population --members 10 100 1000 10000 --json
    python -m benchmarks.population --members 10 --points 100000
    python -m benchmarks.population --store postgresql --json

One worker claims and commits turn after turn, each with one TurnEnded, in an asynchronous run or,
with ``--sync``, in a synchronous one. ``fold_ms`` is what such an event costs a worker that has it:
writing it on its replica, where the member's curve has ``--points`` scores. ``read_us`` is what
each event of the log costs that is read from the file. The medians over the turns, and that mean;
none may grow with the members.
"""

import statistics
import time
from typing import get_args

import ramet
from benchmarks.reporting import parser, report
from benchmarks.stores import add_store, called, database, empty_store
from ramet.events import AnyEvent, Birth, RoundEnded, RunOpened, TurnEnded, fold
from ramet.places import place
from ramet.points import Curve
from ramet.replica import Replica
from ramet.store import Durability, Lease, Standing

SPACE = ramet.Space(lr=ramet.LogUniform(1e-5, 1.0))
EVERY = 10


def opening(members: int, *, synchronous: bool) -> RunOpened:
    return RunOpened(
        name="run",
        seed=0,
        mode="max",
        steps=10**9,
        synchronous=synchronous,
        turn_steps=10,
        keep="best",
        space=SPACE.describe(),
        strategy={},
        births=tuple(Birth(hparams={"lr": 1e-3}) for _ in range(members)),
    )


def turn_of(lease: Lease, turn: int) -> tuple[TurnEnded, Standing]:
    """Return the turn that a worker ends, and how its member stands then."""
    steps = (turn + 1) * EVERY
    ended = TurnEnded(
        member=lease.member,
        turn=turn,
        trained=steps,
        step=steps,
        points=((steps, 0.5),),
        digest=f"{turn:064x}",
    )
    after = Standing(
        member=lease.member,
        trained=steps,
        step=steps,
        turn=turn + 1,
        score=0.5,
        checkpoint=ended.checkpoint.key,
    )
    return ended, after


def fold_ms(members: int, *, points: int, turns: int) -> float:
    replica = Replica(fold([opening(members, synchronous=False)]))
    replica.change(0, curve=Curve(tuple(range(points)), tuple(float(at) for at in range(points))))
    ended = TurnEnded(
        member=0, turn=0, trained=EVERY, step=points, points=((points, 0.5),), digest=f"{0:064x}"
    )
    taken = []
    for _ in range(turns):
        with replica.attempt():
            began = time.perf_counter()
            replica.apply(ended)
            taken.append(time.perf_counter() - began)
    return statistics.median(taken) * 1e3


def measure(
    storage: ramet.Storage, members: int, *, turns: int, synchronous: bool
) -> dict[str, object]:
    where = place(storage)
    store = where.store
    store.open_run(opening(members, synchronous=synchronous), worker="one")
    claims, commits = [], []
    for count in range(turns):
        round_, due = divmod(count, members)
        began = time.perf_counter()
        lease = store.claim("run", worker="one", ttl_s=60.0)
        claimed = time.perf_counter()
        if lease is None or lease.member != due:
            raise RuntimeError(f"member {due} must be the one that trained least, but {lease}")
        ended, after = turn_of(lease, round_)
        last = synchronous and due == members - 1
        events: list[AnyEvent] = [ended, RoundEnded(round=round_)] if last else [ended]
        prepared = time.perf_counter()
        store.commit(lease, events, [after], round=round_ + 1 if last else None)
        commits.append(time.perf_counter() - prepared)
        claims.append(claimed - began)
    began = time.perf_counter()
    read = len(store.events("run"))
    read_us = (time.perf_counter() - began) / read * 1e6
    where.close()
    return {
        "durability": storage.durability,
        "synchronous": synchronous,
        "members": members,
        "turns": turns,
        "commit_ms": statistics.median(commits) * 1e3,
        "claim_ms": statistics.median(claims) * 1e3,
        "read_us": read_us,
    }


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--members", type=int, nargs="+", default=[10, 100, 1_000, 10_000])
    options.add_argument("--points", type=int, default=20, help="scores of a curve")
    options.add_argument("--turns", type=int, default=5_000)
    options.add_argument("--sync", action="store_true", help="measure a synchronous run")
    add_store(options)
    options.add_argument("--durability", choices=get_args(Durability), default="process")
    chosen = options.parse_args()
    with database(chosen.store) as url:
        for members in chosen.members:
            with empty_store(url, chosen.durability) as (storage, _):
                measured = measure(storage, members, turns=chosen.turns, synchronous=chosen.sync)
            folded_ms = fold_ms(members, points=chosen.points, turns=chosen.turns)
            figures = {"store": called(chosen.store), **measured}
            figures |= {"points": chosen.points, "fold_ms": folded_ms}
            report(figures, as_json=chosen.json)


if __name__ == "__main__":
    main()
