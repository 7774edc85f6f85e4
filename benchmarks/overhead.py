"""What ramet itself costs, with trivial training: turns a second, seconds to the first, bytes.

    python -m benchmarks.overhead --json                       # in one process, in memory
    python -m benchmarks.overhead --workers 2 --json           # worker processes, SQLite
    python -m benchmarks.overhead --workers 2 --store postgresql --json
    python -m benchmarks.overhead --workers 2 --peer ray --json
    python -m benchmarks.overhead --torch --json

Every turn is a step of one addition, with its score and its checkpoint. ``turns_per_s`` is the
steady state: from the first turn's end to the last's, as the run's own log has them.
``first_turn_s`` is from the call to the first turn's end, workers' start and all. What is on record
at the end, by turns: ``log_bytes_a_turn`` of events and, where it is in a file,
``file_bytes_a_turn``.

With ``--torch`` each turn leaves and restores a PyTorch model of 100 MB and its optimizer instead,
and ``own_s_a_turn`` is all but the training; ``torch.save`` with ``torch.load`` of the same is
measured beside it.

With ``--peer ray`` (``pip install "ray[tune]"``) Ray Tune's PBT trains the same toy, in the same
invocation: set up for speed as its documentation advises, with a class Trainable,
``reuse_actors=True``, no loggers and no checkpoints but PBT's own; before ours with as many actors
as we have workers, after ours with one for each member. Its start and its steady state are
measured separately in the same way. ``ratio`` is ours to the better of its two, ``ratios`` to each.
"""

import time
from typing import Any

import numpy as np

import ramet
from benchmarks.reporting import parser, report, require_turns
from benchmarks.stores import add_store, called, database, empty_store
from ramet.events import TurnEnded, encode

SPACE = ramet.Space(lr=ramet.LogUniform(1e-4, 1.0), momentum=ramet.Uniform(0.0, 0.99))


def train(session: ramet.Session) -> None:
    state = {"w": np.zeros(4), "progress": 0.0}
    for turn in session.turns(state):
        for _ in turn:
            state["progress"] += turn.hparams["lr"] * (1 - turn.hparams["momentum"])
        turn.report(state["progress"])


def measure(
    *,
    workers: int,
    members: int,
    turns: int,
    synchronous: bool,
    durability: Any,
    url: str | None = None,
) -> dict[str, Any]:
    """Train a population, and time it from the call."""
    strategy = ramet.PBT(population=members, turn_steps=1, synchronous=synchronous)
    with empty_store(url, durability) as (storage, folder):
        store = storage if workers or url else None
        began = time.time()
        result = ramet.run(
            train,
            SPACE,
            strategy,
            steps=turns // members,
            mode="max",
            engine=ramet.Processes(workers, progress=False)
            if workers
            else ramet.Inline(progress=False),
            seed=0,
            store=store,
        )
        in_file = sum(path.stat().st_size for path in folder.glob("runs.db*") if path.is_file())
        log = result.log
    ended = [logged.at for logged in log if isinstance(logged.event, TurnEnded)]
    in_log = sum(len(encode(logged.event)) for logged in log)
    return {
        "turns": len(ended),
        "turns_per_s": (len(ended) - 1) / (ended[-1] - ended[0]),
        "first_turn_s": ended[0] - began,
        "log_bytes_a_turn": in_log / len(ended),
        **({"file_bytes_a_turn": in_file / len(ended)} if in_file else {}),
    }


def measure_ray(*, actors: int, members: int, turns: int, synchronous: bool) -> dict[str, Any]:
    """Train the same with Ray Tune, one member in each actor at a time."""
    from benchmarks.peers import ray_pbt  # noqa: PLC0415 - only where Ray is installed

    ended, called = ray_pbt.train(
        actors=actors, members=members, steps=turns // members, synchronous=synchronous
    )
    return {
        "actors": actors,
        "turns": len(ended),
        "turns_per_s": (len(ended) - 1) / (ended[-1] - ended[0]),
        "first_turn_s": ended[0] - called,
    }


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--engine", choices=["inline", "processes"], default=None)
    options.add_argument("--workers", type=int, default=0, help="worker processes; 0: inline")
    options.add_argument("--members", type=int, default=8)
    options.add_argument("--turns", type=int, default=8_000)
    options.add_argument("--sync", action="store_true", help="the synchronous mode")
    options.add_argument("--durability", choices=["power", "process"], default="power")
    add_store(options)
    options.add_argument("--torch", action="store_true", help="a large PyTorch state")
    options.add_argument("--megabytes", type=int, default=100, help="of that state")
    options.add_argument("--peer", choices=["ray"])
    options.add_argument("--peer-turns", type=int, default=400)
    chosen = options.parse_args()
    if chosen.torch:
        from benchmarks.torch_state import measure_state  # noqa: PLC0415 - only where it is

        for durability in ("process", "power"):
            figures: dict[str, Any] = measure_state(
                megabytes=chosen.megabytes, durability=durability
            )
            report(figures, as_json=chosen.json)
        return
    engine = "processes" if chosen.workers else "inline"
    if chosen.engine not in {None, engine}:
        options.error(f"--engine {chosen.engine} contradicts --workers {chosen.workers}")
    require_turns(options, chosen.turns, members=chosen.members)
    if chosen.peer:
        require_turns(options, chosen.peer_turns, members=chosen.members, name="--peer-turns")
    settings = {"workers": chosen.workers, "members": chosen.members, "synchronous": chosen.sync}
    toy = {"members": chosen.members, "synchronous": chosen.sync, "turns": chosen.peer_turns}
    of_peer = [measure_ray(**toy, actors=chosen.workers)] if chosen.peer else []
    with database(chosen.store) as url:
        ours = measure(**settings, turns=chosen.turns, durability=chosen.durability, url=url)
    kind = f"{called(chosen.store)}, {chosen.durability}"
    of_peer += [measure_ray(**toy, actors=chosen.members)] if chosen.peer else []
    figures = {
        "engine": engine,
        **settings,
        "store": kind if chosen.workers or url else "memory",
        **ours,
    }
    if of_peer:
        figures |= {
            f"{chosen.peer}_{name}": [one[name] for one in of_peer]
            for name in ("actors", "turns", "turns_per_s", "first_turn_s")
        }
        ratios = [ours["turns_per_s"] / one["turns_per_s"] for one in of_peer]
        figures |= {"ratio": min(ratios), "ratios": ratios}
    report(figures, as_json=chosen.json)


if __name__ == "__main__":
    main()
