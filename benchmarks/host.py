"""What ramet costs beside the training of a population as one program.

    python -m benchmarks.host --members 32 128 1024 --json
    python -m benchmarks.host --members 1024 --durability power process --json
    python -m benchmarks.host --members 10000 --rounds 20
    python -m benchmarks.host --members 1024 --store postgresql

A program of NumPy trains all members at once. Its step is one addition, and a state is a small
network with its optimizer's moments: 8 arrays, 20 kB. The run is recorded in SQLite or PostgreSQL,
with its checkpoints in a folder. A run's own time is that between the end of one call of
``program.train`` and the beginning of the next: ``ms_per_member_turn`` is its mean for one member,
and ``round_ms`` and ``worst_round_ms`` are its median and maximum for a round. ``processor_ms`` is
the least processor time of a round, which other programs disturb less. Of the own time
``decide_ms`` is the strategy's and that of the events that follow, ``write_ms`` is spent in the
blobs and the store, and ``gather_ms`` in the program's own ``gather``; all three are
means for a round. In these figures each round is written before the next one is trained.
``hidden_share`` is how much smaller that own time is once rounds are written while the next one is
trained, in a second run in which training takes twice as long as writing, as on a busy device.
"""

import math
import statistics
import time
import tracemalloc
from collections.abc import Callable, Sequence
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

import ramet
from benchmarks.reporting import parser, report
from benchmarks.stores import add_store, called, database, empty_store
from ramet.engine.run import consequences, journal
from ramet.engine.workers import vectorized
from ramet.engine.workers.lanes import Lanes
from ramet.mapping.chunks import Chunks
from ramet.places import place
from ramet.state.stacks import Stack as Stacked
from ramet.store import Durability

SPACE = ramet.Space(lr=ramet.LogUniform(1e-4, 1.0), momentum=ramet.Uniform(0.0, 0.99))
# Of a network with 40 inputs; 2,500 numbers with their moments take 20 kB.
LAYERS = {"w1": (40, 48), "b1": (48,), "w2": (48, 11), "b2": (4,)}
SHAPES = {f"{kind}.{name}": LAYERS[name] for kind in ("net", "moments") for name in LAYERS}
PUTS = ("put",)
CALLS = ("claim", "claim_all", "commit", "renew_all", "release_all", "events")

Stack = dict[str, NDArray[np.float32]]


class Toy:
    """What can be trained many at once."""

    def __init__(self, spent: "Spent", train_s: float) -> None:
        self.spent, self.train_s = spent, train_s

    def program(self, space: ramet.Space, **_: object) -> "Together":
        del space
        return Together(self.spent, self.train_s)

    def init(self, rng: np.random.Generator) -> dict[str, NDArray[np.float32]]:
        return {name: rng.random(shape, np.float32) for name, shape in SHAPES.items()}

    def step(self, state: Any, hparams: Any, steps: int, rng: np.random.Generator) -> Any:
        raise NotImplementedError

    def evaluate(self, state: Any) -> float:
        raise NotImplementedError


class Together:
    """The program: states are stacked along their first axis."""

    size = sum(4 * int(np.prod(shape)) for shape in SHAPES.values())

    def __init__(self, spent: "Spent", train_s: float) -> None:
        self.chunks = Chunks(1, self.is_full)
        self._spent, self._train_s = spent, train_s

    def init(self, turns: Sequence[ramet.Turn]) -> Stack:
        firsts = [Toy.init(None, turn.init_rng) for turn in turns]  # type: ignore[arg-type]  # no task is needed
        return {name: np.stack([first[name] for first in firsts]) for name in SHAPES}

    def restore(self, trees: Sequence[Any]) -> Stack:
        return {name: np.stack([tree[name] for tree in trees]) for name in SHAPES}

    def gather(self, stacks: Sequence[Stack], places: Sequence[int]) -> Stack:
        at = np.array(places)
        with self._spent.on("gather"):
            held = stacks[0] if len(stacks) == 1 else _join(stacks)
            return {name: held[name][at] for name in SHAPES}

    def prepare(self, turns: Sequence[ramet.Turn], lanes: Lanes) -> None:
        """Nothing needs to be prepared."""

    def copy(self, states: Stack, places: Sequence[int]) -> Stack:
        return self.gather([states], places)

    def train(
        self,
        states: Stack,
        turns: Sequence[ramet.Turn],
        stretches: Sequence[int],
        lanes: Lanes,
        busy: Callable[[], object],
    ) -> tuple[Stack, list[list[float]]]:
        del lanes
        self._spent.begin_training()
        rates = np.array([turn.hparams["lr"] * turn.hparams["momentum"] for turn in turns])
        bias = states["net.b1"] + rates[:, None].astype(np.float32)
        after = {**states, "net.b1": bias}
        scores = [[float(score)] * len(stretches) for score in bias.mean(axis=1)]
        busy()
        time.sleep(self._train_s)
        self._spent.end_training()
        return after, scores

    def capture(self, states: Stack) -> Callable[[], Stacked]:
        return lambda: Stacked(states, rows=len(states["net.b1"]))

    def is_full(self, error: Exception) -> bool:
        return isinstance(error, MemoryError)


def _join(stacks: Sequence[Stack]) -> Stack:
    return {name: np.concatenate([stack[name] for stack in stacks]) for name in SHAPES}


class Spent:
    """Where time went, in the rounds after the first, which also begins the run."""

    def __init__(self) -> None:
        self.gaps: list[float] = []
        self.processor_gaps: list[float] = []
        self.seconds: dict[str, float] = {}
        self.trained_s = 0.0
        self._ended: float | None = None
        self._began = self._processor_ended = 0.0

    def begin_training(self) -> None:
        self._began = time.perf_counter()
        if self._ended is not None:
            self.gaps.append(self._began - self._ended)
            self.processor_gaps.append(time.process_time() - self._processor_ended)

    def end_training(self) -> None:
        now = time.perf_counter()
        if self._ended is None:
            self.seconds.clear()
        else:
            self.trained_s += now - self._began
        self._ended, self._processor_ended = now, time.process_time()

    def on(self, what: str) -> "Timer":
        return Timer(self.seconds, what)

    def timing(self, what: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function with its time counted."""

        def timed(*args: Any, **named: Any) -> Any:
            with self.on(what):
                return function(*args, **named)

        return timed


class Timer:
    """Counts the time of a block."""

    def __init__(self, seconds: dict[str, float], what: str) -> None:
        self._seconds, self._what = seconds, what

    def __enter__(self) -> None:
        self._began = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        taken = time.perf_counter() - self._began
        self._seconds[self._what] = self._seconds.get(self._what, 0.0) + taken


def measure(
    members: int,
    *,
    rounds: int,
    durability: Durability,
    synchronous: bool,
    memory: bool,
    url: str | None = None,
) -> dict[str, Any]:
    """Train a population one round after the other, and then ahead; return what that took."""
    settings: dict[str, Any] = {
        "rounds": rounds,
        "durability": durability,
        "synchronous": synchronous,
        "url": url,
    }
    in_turn = train(members, least_training=math.inf, train_s=0.0, memory=memory, **settings)
    train_s = 2e-3 * in_turn["ms_per_member_turn"] * members
    ahead = train(members, least_training=0.0, train_s=train_s, memory=False, **settings)
    hidden = 1 - ahead["ms_per_member_turn"] / in_turn["ms_per_member_turn"]
    return {**in_turn, "hidden_share": hidden}


def train(
    members: int,
    *,
    rounds: int,
    durability: Durability,
    synchronous: bool,
    memory: bool,
    least_training: float,
    train_s: float,
    url: str | None,
) -> dict[str, Any]:
    """Train a population, and return what was spent beside the training."""
    vectorized.LEAST_TRAINING = least_training
    spent = Spent()
    plain = consequences.consequences
    with empty_store(url, durability) as (storage, _):
        where = place(storage)
        store, blobs = where.store, where.blobs
        for thing, names in ((store, CALLS), (blobs, PUTS)):
            for name in names:
                if hasattr(thing, name):
                    setattr(thing, name, spent.timing("write", getattr(thing, name)))
        setattr(journal, "consequences", spent.timing("decide", plain))  # noqa: B010 - it exports none
        if memory:
            tracemalloc.start()
        try:
            ramet.run(
                Toy(spent, train_s),
                SPACE,
                ramet.PBT(population=members, turn_steps=1, synchronous=synchronous),
                steps=rounds,
                mode="max",
                seed=0,
                engine=ramet.Vectorized(chunk=1, progress=False),
                store=ramet.Storage(store, blobs=blobs),
            )
        finally:
            setattr(journal, "consequences", plain)  # noqa: B010 - as above
            where.close()
        peak = tracemalloc.get_traced_memory()[1] if memory else 0
        tracemalloc.stop()
    each = {what: seconds / len(spent.gaps) * 1e3 for what, seconds in spent.seconds.items()}
    return {
        "members": members,
        "turns": members * rounds,
        "durability": durability,
        "synchronous": synchronous,
        "state_bytes": Together.size,
        "ms_per_member_turn": statistics.mean(spent.gaps) / members * 1e3,
        "round_ms": statistics.median(spent.gaps) * 1e3,
        "worst_round_ms": max(spent.gaps) * 1e3,
        "processor_ms": min(spent.processor_gaps) * 1e3,
        "decide_ms": each.get("decide", 0.0),
        "write_ms": each.get("write", 0.0),
        "gather_ms": each.get("gather", 0.0),
        "train_ms": spent.trained_s / len(spent.gaps) * 1e3,
        **({"peak_bytes": peak} if memory else {}),
    }


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--members", type=int, nargs="+", default=[32, 128, 1_024])
    options.add_argument("--rounds", type=int, default=20)
    options.add_argument(
        "--durability", nargs="+", choices=get_args(Durability), default=["process"]
    )
    options.add_argument("--async", dest="asynchronous", action="store_true")
    options.add_argument("--memory", action="store_true", help="measure memory, which takes time")
    add_store(options)
    chosen = options.parse_args()
    with database(chosen.store) as url:
        for durability in chosen.durability:
            for members in chosen.members:
                figures = measure(
                    members,
                    rounds=chosen.rounds,
                    durability=durability,
                    synchronous=not chosen.asynchronous,
                    memory=chosen.memory,
                    url=url,
                )
                report({"store": called(chosen.store), **figures}, as_json=chosen.json)


if __name__ == "__main__":
    main()
