"""How the strategies compare, each with the same number of members, steps and seeds.

    python -m benchmarks.strategies --tasks quadratic --seeds 20 --json

A line for each strategy: the median and the quartiles over seeds of what its best weights come to
(lower is better), and its mean rank among the strategies, which is 1 if it was the best with every
seed. With ``--results FILE`` each run that ends is added to a file of JSON lines, and a run that is
there already, with the same settings, is not trained again: a long comparison can be stopped and
gone on with. Seeds are the outer loop, so what is there at any time compares all strategies alike.
Tasks are ``quadratic`` (the true loss of the noisy quadratic), ``deceptive`` (how far the
score is from its limit of 1.2, on a task that deceives greedy strategies), ``plain`` (the same
without deception) and ``digits`` (the test images in a thousand that the network of
``benchmarks.digits`` gets wrong, which takes scikit-learn). All members train in each round except
FIRE's evaluators, which sometimes rest, and most of IPBT's 80 or more, of which 20 or 40 train.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

import ramet
from benchmarks.digits import DIGITS_SPACE, Digits
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
    "digits": Pace(40 * 32, 32, 4),
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


def ipbt(pace: Pace, explore: Any, *, renew: bool = False) -> ramet.Strategy:
    # Twice as many train in the first turn of each iteration: all together, about as much as 24 do.
    return ramet.IPBT(population=20, turn_steps=pace.turn_steps, explore=explore, renew=renew)


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
    "ipbt": partial(ipbt, explore=ramet.Perturb(FIRES)),
    "ipbt-mild": partial(ipbt, explore=ramet.Perturb(MILD)),
    "ipbt-renewed": partial(ipbt, explore=ramet.Perturb(FIRES), renew=True),
    "mfpbt-model": partial(mfpbt, explore=MODEL, intervals=(1, 5, 10)),
}


# In the toys smaller weights are better ones, so that renewed weights would give the answer away.
ONLY_DIGITS = {"ipbt-renewed"}


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a run came to."""

    task: str
    strategy: str
    # The strategy and the length of runs, as text: with others, the run must be trained again.
    settings: str
    seed: int
    # Lower is better.
    loss: float
    wall_s: float


@dataclass(frozen=True, slots=True)
class Trial:
    """One strategy on one task, with one seed."""

    task: str
    strategy: str
    seed: int

    @property
    def settings(self) -> str:
        """The strategy and the length of runs, as text."""
        pace = PACES[self.task]
        return f"{STRATEGIES[self.strategy](pace)} {tuple(pace)}"

    def run(self) -> Outcome:
        """Train, and measure the best weights."""
        began = time.perf_counter()
        pace = PACES[self.task]
        strategy = STRATEGIES[self.strategy](pace)
        loss = MEASURES[self.task](strategy, pace, self.seed)
        return Outcome(
            task=self.task,
            strategy=self.strategy,
            settings=self.settings,
            seed=self.seed,
            loss=loss,
            wall_s=time.perf_counter() - began,
        )


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
    task = Digits(seed)
    best = train(task, DIGITS_SPACE, strategy, pace, seed).best.load()
    return 1_000 * task.count_wrong(best) / task.tests


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


def compare(trials: Sequence[Trial], *, jobs: int, results: Path | None) -> Iterator[Outcome]:
    """Yield what each trial came to, of which those in a file of results are not run again."""
    found = {Trial(each.task, each.strategy, each.seed): each for each in read(results)}
    known = {trial: found[trial] for trial in trials if trial in found}
    known = {trial: each for trial, each in known.items() if each.settings == trial.settings}
    yield from known.values()
    missing = [trial for trial in trials if trial not in known]
    if jobs == 1:
        yield from _keep(map(Trial.run, missing), results)
        return
    with ProcessPoolExecutor(jobs) as pool:
        yield from _keep(pool.map(Trial.run, missing), results)


def read(results: Path | None) -> list[Outcome]:
    """Return the outcomes in a file, which ends after the last whole line of them."""
    if results is None or not results.exists():
        return []
    content = results.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if whole != content:
        # The comparison was stopped while it wrote a line.
        results.write_bytes(whole)
    return [msgspec.json.decode(line, type=Outcome) for line in whole.splitlines()]


def _keep(outcomes: Iterable[Outcome], results: Path | None) -> Iterator[Outcome]:
    """Yield outcomes, and add a line for each to a file."""
    for outcome in outcomes:
        if results is not None:
            with results.open("ab") as lines:
                lines.write(msgspec.json.encode(outcome) + b"\n")
        yield outcome


def summarize(outcomes: Sequence[Outcome], names: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield the figures of each strategy on one task, over the seeds that all of them have."""
    by_seed = {name: {o.seed: o for o in outcomes if o.strategy == name} for name in names}
    seeds = sorted(set.intersection(*(set(found) for found in by_seed.values())))
    if not seeds:
        return
    rows = [[by_seed[name][seed] for seed in seeds] for name in names]
    losses = np.array([[outcome.loss for outcome in row] for row in rows])
    for name, row, found, mean_rank in zip(names, losses, rows, mean_ranks(losses), strict=True):
        q25, median, q75 = np.quantile(row, [0.25, 0.5, 0.75]).tolist()
        yield {
            "task": found[0].task,
            "strategy": name,
            "seeds": len(seeds),
            "median": median,
            "q25": q25,
            "q75": q75,
            "mean_rank": float(mean_rank),
            "wall_s": float(np.median([outcome.wall_s for outcome in found])),
        }


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--tasks", nargs="+", choices=PACES, default=["quadratic"])
    options.add_argument("--seeds", type=int, default=20, help="how many the medians are over")
    options.add_argument("--first-seed", type=int, default=0)
    options.add_argument("--strategies", nargs="+", choices=STRATEGIES, metavar="STRATEGY")
    options.add_argument("--jobs", type=int, default=1, help="processes to run in")
    options.add_argument("--results", type=Path, help="a file that keeps each run that ended")
    chosen = options.parse_args()
    names = chosen.strategies or list(STRATEGIES)
    seeds = range(chosen.first_seed, chosen.first_seed + chosen.seeds)
    entered = {
        task: [name for name in names if task == "digits" or name not in ONLY_DIGITS]
        for task in chosen.tasks
    }
    trials = [
        Trial(task, name, seed) for seed in seeds for task in chosen.tasks for name in entered[task]
    ]
    outcomes = list(compare(trials, jobs=chosen.jobs, results=chosen.results))
    for task in chosen.tasks:
        of_task = [outcome for outcome in outcomes if outcome.task == task]
        for figures in summarize(of_task, entered[task]):
            report(figures, as_json=chosen.json)


if __name__ == "__main__":
    main()
