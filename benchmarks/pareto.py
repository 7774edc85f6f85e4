"""How far a search for a front gets, against searches for one objective, and random search.

    python -m benchmarks.pareto --seeds 10 --json

The task has two losses with a known front, and hyperparameters that set a trade between them and
how fast it is learned. A line for each strategy: the hypervolume of the turns that no other
dominates, as a part of that of the true front (1 is all of it), at the median over seeds and the
quartiles, and with how many seeds ``Pareto`` had more. All strategies have the same members, steps
and seeds.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

import ramet
from benchmarks.reporting import parser, report

MEMBERS, STEPS, TURN_STEPS = 16, 600, 20
SPACE = ramet.Space(trade=ramet.Uniform(0.0, 1.0), lr=ramet.LogUniform(1e-4, 1.0))
# The losses up to which volume counts.
REFERENCE = (1.2, 1.2)
# Points of the true front, which is known for each trade.
FRONT_POINTS = 20_000
# The noise of gradients, and how many weights only have to be trained.
NOISE, PLAIN_WEIGHTS = 0.3, 4


def train(session: ramet.Session) -> None:
    """Descend a weighted sum of two losses; the first is the score, the second a metric."""
    for turn, first, second in descend(session):
        turn.report(first, other=second)


def train_other(session: ramet.Session) -> None:
    """Do the same with the second loss as the score."""
    for turn, first, second in descend(session):
        turn.report(second, other=first)


def descend(session: ramet.Session) -> Iterator[tuple[ramet.Turn, float, float]]:
    """Yield each turn when it is trained, with its two losses.

    The first loss wants a weight at 0 and the second at 1. Both want all other weights at 0.
    Gradients are noisy, so that learning rates must fall.
    """
    state = {"w": session.rng.normal(1.0, 1.0, size=1 + PLAIN_WEIGHTS)}
    for turn in session.turns(state):
        w = state["w"]
        for _ in turn:
            aim = np.zeros(1 + PLAIN_WEIGHTS)
            aim[0] = turn.hparams["trade"]
            w -= turn.hparams["lr"] * (w - aim + NOISE * turn.rng.normal(size=w.size))
        plain = float(w[1:] @ w[1:])
        yield turn, float(w[0]) ** 2 + plain, (float(w[0]) - 1.0) ** 2 + plain


def volume(losses: Sequence[tuple[float, float]]) -> float:
    """Return the area that losses dominate, up to the reference.

    >>> [round(volume(its), 4) for its in ([(0.2, 0.2)], [(0.2, 1.0), (1.0, 0.2), (3.0, 0.0)])]
    [1.0, 0.36]
    """
    total, lowest = 0.0, REFERENCE[1]
    for first, second in sorted(losses):
        if first < REFERENCE[0] and second < lowest:
            total += (REFERENCE[0] - first) * (lowest - second)
            lowest = second
    return total


def true_volume() -> float:
    """Return the area that the true front dominates: w from 0 to 1, and no other loss."""
    places = np.linspace(0.0, 1.0, FRONT_POINTS)
    return volume(list(zip((places**2).tolist(), ((places - 1) ** 2).tolist(), strict=True)))


def pbt(exploit: Any) -> ramet.Strategy:
    return ramet.PBT(population=MEMBERS, turn_steps=TURN_STEPS, exploit=exploit, synchronous=True)


class Search(NamedTuple):
    """One way to search."""

    train: Callable[[ramet.Session], None]
    strategy: ramet.Strategy


SEARCHES = {
    "pareto": Search(train, pbt(ramet.Pareto({"other": "min"}))),
    "pbt": Search(train, pbt(ramet.Truncation(0.2))),
    "pbt-other": Search(train_other, pbt(ramet.Truncation(0.2))),
    "random": Search(
        train,
        ramet.RandomSearch(population=MEMBERS, turn_steps=TURN_STEPS, synchronous=True),
    ),
}


@dataclass(frozen=True, slots=True)
class Trial:
    """A search that a process runs by its name."""

    search: str

    def run(self, seed: int) -> float:
        """Train with a seed; return the part of the true volume that was found."""
        chosen = SEARCHES[self.search]
        result = ramet.run(
            chosen.train,
            SPACE,
            chosen.strategy,
            steps=STEPS,
            mode="min",
            seed=seed,
            engine=ramet.Inline(progress=False),
        )
        others = {(row["member"], row["turn"]): row["value"] for row in result.rows("metrics")}
        losses = [(row["score"], others[row["member"], row["turn"]]) for row in result.rows()]
        # The area is the same with the two losses in either place.
        return volume(losses) / true_volume()


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--seeds", type=int, default=10, help="how many the medians are over")
    options.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes to run in")
    chosen = options.parse_args()
    seeds = range(chosen.seeds)
    with ProcessPoolExecutor(chosen.jobs) as pool:
        running = {name: pool.map(Trial(name).run, seeds) for name in SEARCHES}
        found = {name: list(volumes) for name, volumes in running.items()}
    for name, volumes in found.items():
        q25, median, q75 = np.quantile(volumes, [0.25, 0.5, 0.75]).tolist()
        ahead = sum(a > b for a, b in zip(found["pareto"], volumes, strict=True))
        figures = {
            "search": name,
            "median": median,
            "q25": q25,
            "q75": q75,
            "pareto_ahead": ahead,
            "seeds": chosen.seeds,
        }
        report(figures, as_json=chosen.json)


if __name__ == "__main__":
    main()
