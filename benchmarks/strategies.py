"""How the strategies compare, each with the same number of members, steps and seeds.

    python -m benchmarks.strategies --task quadratic --seeds 20 --json

A line for each strategy: the median and the quartiles over seeds of what its best weights come to
(lower is better), and its mean rank among the strategies, which is 1 if it was the best with every
seed. Tasks are ``quadratic`` (the true loss of the noisy quadratic), ``deceptive`` (how far the
score is from its limit of 1.2, on a task that deceives greedy strategies), ``plain`` (the same
without deception) and ``digits`` (the test images in a thousand that the networks of `ramet demo`
get wrong, which takes PyTorch and scikit-learn). All members train in each round except FIRE's
evaluators, which sometimes rest.
"""

import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

import ramet
from benchmarks.reporting import parser, report
from ramet.testing import DECEPTIVE_SPACE, QUADRATIC_SPACE, Deceptive, Quadratic

Floats: TypeAlias = NDArray[np.float64]

MEMBERS = 24
MILD, FIRES = (0.8, 1.25), (0.5, 0.8, 1.25, 2.0)


class Pace(NamedTuple):
    """How long runs of a task are."""

    steps: int
    turn_steps: int
    evaluate_every: int


PACES = {
    "quadratic": Pace(40 * 48, 48, 4),
    "deceptive": Pace(50 * 20, 20, 2),
    "plain": Pace(50 * 20, 20, 2),
    "digits": Pace(40 * 60, 60, 6),
}


def random(pace: Pace) -> ramet.Strategy:
    return ramet.RandomSearch(population=MEMBERS, synchronous=True, turn_steps=pace.turn_steps)


def pbt(pace: Pace, explore: Any) -> ramet.Strategy:
    return ramet.PBT(
        population=MEMBERS,
        turn_steps=pace.turn_steps,
        exploit=ramet.Truncation(0.25),
        explore=explore,
        synchronous=True,
    )


def fire(pace: Pace, explore: Any, **settings: Any) -> ramet.Strategy:
    return ramet.FIRE.for_workers(
        MEMBERS,
        turn_steps=pace.turn_steps,
        evaluate_every=pace.evaluate_every,
        explore=explore,
        **settings,
    )


def slow_fire(pace: Pace) -> ramet.Strategy:
    return fire(
        pace,
        explore=ramet.Perturb(FIRES),
        greedy_explore=ramet.Perturb(MILD),
        min_steps_before_eval=2 * pace.turn_steps,
    )


def mfpbt(pace: Pace, explore: Any, intervals: Sequence[int]) -> ramet.Strategy:
    return ramet.MFPBT(
        population=MEMBERS, turn_steps=pace.turn_steps, intervals=intervals, explore=explore
    )


MODEL = ramet.GaussianProcess()
# A function of how long runs are.
STRATEGIES: dict[str, Callable[[Pace], ramet.Strategy]] = {
    "random": random,
    "pbt": partial(pbt, explore=ramet.Perturb(FIRES)),
    "pbt-mild": partial(pbt, explore=ramet.Perturb(MILD)),
    "pbt-model": partial(pbt, explore=MODEL),
    "fire": partial(fire, explore=ramet.Perturb(FIRES)),
    "fire-improved": slow_fire,
    "fire-model": partial(fire, explore=MODEL),
    "mfpbt": partial(mfpbt, explore=ramet.Perturb(MILD), intervals=(1, 5, 10)),
    "mfpbt-wide": partial(mfpbt, explore=ramet.Perturb(FIRES), intervals=(1, 5, 10)),
    "mfpbt-two": partial(mfpbt, explore=ramet.Perturb(MILD), intervals=(1, 10)),
    "mfpbt-model": partial(mfpbt, explore=MODEL, intervals=(1, 5, 10)),
}


class Outcome(NamedTuple):
    """What a run came to."""

    # Lower is better.
    loss: float
    wall_s: float


@dataclass(frozen=True, slots=True)
class Trial:
    """One strategy on one task."""

    task: str
    strategy: str

    def run(self, seed: int) -> Outcome:
        """Train with a seed, and measure the best weights."""
        began = time.perf_counter()
        pace = PACES[self.task]
        strategy = STRATEGIES[self.strategy](pace)
        loss = MEASURES[self.task](strategy, pace, seed)
        return Outcome(loss, time.perf_counter() - began)


def train(
    task: ramet.Task, space: ramet.Space, strategy: ramet.Strategy, pace: Pace, seed: int
) -> ramet.Result:
    """Train a population in this process."""
    engine = ramet.Inline(progress=False)
    return ramet.run(task, space, strategy, steps=pace.steps, mode="max", seed=seed, engine=engine)


def run_quadratic(strategy: ramet.Strategy, pace: Pace, seed: int) -> float:
    """Return the true loss."""
    task = Quadratic()
    return task.loss(train(task, QUADRATIC_SPACE, strategy, pace, seed).best.load())


def run_deceptive(strategy: ramet.Strategy, pace: Pace, seed: int, penalty: float = 0.2) -> float:
    """Return how far the score is from its limit."""
    task = Deceptive(penalty=penalty)
    return 1.2 - train(task, DECEPTIVE_SPACE, strategy, pace, seed).best.score


def run_digits(strategy: ramet.Strategy, pace: Pace, seed: int) -> float:
    """Return the share of test images that are classified wrongly, in a thousand."""
    from ramet.cli.digits import best_of, compete, load  # noqa: PLC0415 - takes PyTorch

    digits = load(seed)
    result = compete(strategy, digits, name="digits", steps=pace.steps, seed=seed)
    return 1_000 * (1 - best_of(result, digits).recognised / len(digits.test.labels))


MEASURES: dict[str, Callable[[ramet.Strategy, Pace, int], float]] = {
    "quadratic": run_quadratic,
    "deceptive": run_deceptive,
    "plain": partial(run_deceptive, penalty=0.0),
    "digits": run_digits,
}


def mean_ranks(losses: Floats) -> Floats:
    """Return the mean rank of each strategy, which has a row of losses, one for each seed.

    Equal losses share the mean of their ranks.

    >>> mean_ranks(np.array([[0.1, 0.3], [0.2, 0.3]])).tolist()
    [1.25, 1.75]
    """
    below = (losses[:, None, :] > losses[None, :, :]).sum(axis=1)
    equal = (losses[:, None, :] == losses[None, :, :]).sum(axis=1)
    ranks: Floats = (below + (equal + 1) / 2).mean(axis=1)
    return ranks


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--task", choices=PACES, default="quadratic")
    options.add_argument("--seeds", type=int, default=20, help="how many the medians are over")
    options.add_argument("--first-seed", type=int, default=0)
    options.add_argument("--strategies", nargs="+", choices=STRATEGIES, metavar="STRATEGY")
    options.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes to run in")
    chosen = options.parse_args()
    names = chosen.strategies or list(STRATEGIES)
    seeds = range(chosen.first_seed, chosen.first_seed + chosen.seeds)
    with ProcessPoolExecutor(chosen.jobs) as pool:
        running = {name: pool.map(Trial(chosen.task, name).run, seeds) for name in names}
        found = {name: list(outcomes) for name, outcomes in running.items()}
    losses = np.array([[outcome.loss for outcome in found[name]] for name in names])
    for name, row, rank in zip(names, losses, mean_ranks(losses), strict=True):
        q25, median, q75 = np.quantile(row, [0.25, 0.5, 0.75]).tolist()
        figures = {
            "task": chosen.task,
            "strategy": name,
            "median": median,
            "q25": q25,
            "q75": q75,
            "mean_rank": float(rank),
            "wall_s": float(np.median([outcome.wall_s for outcome in found[name]])),
        }
        report(figures, as_json=chosen.json)


if __name__ == "__main__":
    main()
