"""How close to the optimum each method ends, on a noisy quadratic.

    python -m benchmarks.quadratic --seeds 20 --json

The best learning rates are known exactly here, and a greedy choice is provably short-sighted.
``median``, ``q25`` and ``q75`` are over seeds, of the true loss of what a run gives as its best;
``limit`` is that of the best schedule of a rate a round. Four methods are exact and take no
workers: ``cosine`` (peak and end tuned), ``cosine-to-zero`` (peak tuned), ``constant``, and
``greedy`` (each round the rate that leaves the least loss at its end). Methods whose names end in
``-improved`` have the settings of docs/fire.md, "Better than the paper's", and with ``-large``
in their names there are two large sub-populations with their evaluators. ``--figure`` draws the
schedule that each method found, in the run of its median, beside the best one, and every learning
rate that the last method's members had. ``--evaluate-every`` and ``--deviation`` make it harder for
methods that compare curves. Methods whose names end in ``-averaged`` are scored by a running
average of the weights, with ``--power``; only weights can be averaged, so they need ``--sampled``.
"""

import os
import statistics
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import ramet
from benchmarks.reporting import parser, report
from ramet.strategies import Shape
from ramet.testing import QUADRATIC_SPACE, Quadratic, SampledQuadratic
from ramet.testing.quadratic import Floats
from ramet.testing.quadratic_optimum import (
    best_constant,
    best_cosine,
    best_schedule,
    final_loss,
    greedy,
)

if TYPE_CHECKING:
    pass

TURN_STEPS = 48
EVALUATE_EVERY = 4
SIZES = (22, 36, 50)
FEW = (6, 9, 15)
FIRES = (0.5, 0.8, 1.25, 2.0)
MILD = (0.8, 1.25)
COSINE = ramet.Cosine()


def random(workers: int, every: int) -> ramet.Strategy:
    return ramet.RandomSearch(
        population=workers, turn_steps=TURN_STEPS, evaluate_every=every, synchronous=True
    )


def hand(workers: int, every: int, shape: Shape = COSINE) -> ramet.Strategy:
    return ramet.HandTuned(
        population=workers,
        turn_steps=TURN_STEPS,
        shapes={"lr": shape},
        evaluate_every=every,
        synchronous=True,
    )


def pbt(workers: int, every: int, factors: Sequence[float] = FIRES) -> ramet.Strategy:
    return ramet.PBT(
        population=workers,
        turn_steps=TURN_STEPS,
        exploit=ramet.Truncation(0.25),
        explore=ramet.Perturb(factors),
        evaluate_every=every,
        synchronous=True,
    )


def fire(workers: int, every: int, **settings: Any) -> ramet.Strategy:
    return ramet.FIRE.for_workers(workers, turn_steps=TURN_STEPS, evaluate_every=every, **settings)


def large_fire(workers: int, every: int, **settings: Any) -> ramet.Strategy:
    """Return FIRE with two sub-populations, of 18 members for 50 workers, as in the paper."""
    return ramet.FIRE(
        turn_steps=TURN_STEPS,
        evaluate_every=every,
        subpopulations=2,
        # The evaluators, three for every four members of P2, are the other three elevenths.
        size=4 * workers // 11,
        **settings,
    )


def slow(make: Callable[..., ramet.Strategy]) -> Callable[[int, int], ramet.Strategy]:
    """Return what makes FIRE with a P1 of small steps, which settles before it is a measure."""
    return partial(make, greedy_explore=ramet.Perturb(MILD), min_steps_before_eval=2 * TURN_STEPS)


# A function of the workers and the steps between two scores, and the numbers of workers.
TRAINED: dict[str, tuple[Callable[[int, int], ramet.Strategy], Sequence[int]]] = {
    "random": (random, SIZES),
    "hand": (hand, SIZES),
    "hand-drops": (partial(hand, shape=ramet.Drops()), SIZES),
    "pbt22": (pbt, [22]),
    "pbt22-mild": (partial(pbt, factors=MILD), [22]),
    "pbt50": (pbt, [50]),
    "fire22": (fire, [22]),
    "fire36": (fire, [36]),
    "fire50": (fire, [50]),
    "fire50-large": (large_fire, [50]),
    "fire22-improved": (slow(fire), [22]),
    "fire36-improved": (slow(fire), [36]),
    "fire50-improved": (slow(fire), [50]),
    "fire50-large-improved": (slow(large_fire), [50]),
    "pbt-few": (pbt, FEW),
    "fire-few": (fire, FEW),
}
# The same methods, scored by a running average of the weights, which --sampled has.
AVERAGED = {
    f"{method}-averaged": TRAINED[method]
    for method in ("random", "hand", "pbt22", "pbt22-mild", "pbt50", "fire22", "fire36", "fire50")
}
EXACT: dict[str, Callable[..., Floats]] = {
    "cosine": best_cosine,
    "cosine-to-zero": partial(best_cosine, last=0.0),
    "constant": best_constant,
    "greedy": greedy,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One method with a number of workers, on one task."""

    method: str
    workers: int
    task: Quadratic | SampledQuadratic
    rounds: int
    evaluate_every: int = EVALUATE_EVERY

    def run(self, seed: int) -> ramet.Result:
        make, _ = (TRAINED | AVERAGED)[self.method]
        return ramet.run(
            self.task,
            QUADRATIC_SPACE,
            make(self.workers, self.evaluate_every),
            steps=self.rounds * TURN_STEPS,
            mode="max",
            seed=seed,
            engine=ramet.Inline(progress=False),
        )

    def loss(self, seed: int) -> float:
        """Return the true loss of the run's best weights."""
        return self.task.loss(self.run(seed).best.load())


def summary(
    method: str, workers: int | None, losses: Sequence[float], limit: float
) -> dict[str, Any]:
    q25, median, q75 = np.quantile(losses, [0.25, 0.5, 0.75]).tolist()
    return {
        "method": method,
        "workers": workers,
        "median": median,
        "q25": q25,
        "q75": q75,
        "limit": limit,
    }


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--seeds", type=int, default=20, help="how many the medians are over")
    options.add_argument("--first-seed", type=int, default=0)
    options.add_argument("--dim", type=int, default=100)
    options.add_argument("--noise", type=float, default=1.0, help="in curvatures")
    options.add_argument("--deviation", type=float, default=0.02, help="of a score's error")
    options.add_argument("--evaluate-every", type=int, default=EVALUATE_EVERY, metavar="STEPS")
    options.add_argument("--rounds", type=int, default=40, help=f"of {TURN_STEPS} steps")
    options.add_argument("--sampled", action="store_true", help="train weights, not expectations")
    options.add_argument("--power", type=float, default=0.5, help="of averages of weights")
    options.add_argument(
        "--methods", nargs="+", choices=[*TRAINED, *AVERAGED, *EXACT], metavar="METHOD"
    )
    options.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes to run in")
    options.add_argument("--figure", type=Path, help="where to draw, which takes matplotlib")
    chosen = options.parse_args()

    settings = {"dim": chosen.dim, "noise": chosen.noise, "deviation": chosen.deviation}
    exact = Quadratic(**settings)
    task = SampledQuadratic(**settings) if chosen.sampled else exact
    averaged = SampledQuadratic(**settings, average=ramet.PolynomialAverage(chosen.power))
    methods = chosen.methods or [*TRAINED, *(AVERAGED if chosen.sampled else ()), *EXACT]
    if not chosen.sampled and any(method in AVERAGED for method in methods):
        options.error("weights are averaged, and only --sampled has any")
    seeds = range(chosen.first_seed, chosen.first_seed + chosen.seeds)
    optimum = best_schedule(exact, rounds=chosen.rounds, turn_steps=TURN_STEPS)
    limit = final_loss(exact, optimum, turn_steps=TURN_STEPS)

    trials = [
        Trial(
            method=method,
            workers=workers,
            task=averaged if method in AVERAGED else task,
            rounds=chosen.rounds,
            evaluate_every=chosen.evaluate_every,
        )
        for method in methods
        if method not in EXACT
        for workers in (TRAINED | AVERAGED)[method][1]
    ]
    if chosen.figure and not trials:
        options.error("--figure draws what was trained, but --methods names none that are")
    medians: dict[Trial, int] = {}
    with ProcessPoolExecutor(chosen.jobs) as pool:
        runs = [(trial, pool.map(trial.loss, seeds)) for trial in trials]
        for trial, found in runs:
            losses = list(found)
            medians[trial] = seeds[losses.index(statistics.median_low(losses))]
            report(summary(trial.method, trial.workers, losses, limit), as_json=chosen.json)
    for method in methods:
        if method in EXACT:
            schedule = EXACT[method](exact, rounds=chosen.rounds, turn_steps=TURN_STEPS)
            loss = final_loss(exact, schedule, turn_steps=TURN_STEPS)
            report(summary(method, None, [loss], limit), as_json=chosen.json)
    if chosen.figure:
        # Those with more workers find much the same.
        fewest = {trial.method: trial for trial in reversed(trials)}
        drawn = {m: fewest[m].run(medians[fewest[m]]) for m in methods if m in fewest}
        from benchmarks.quadratic_figure import draw  # noqa: PLC0415 - takes an extra

        draw(optimum, TURN_STEPS, drawn, chosen.figure)


if __name__ == "__main__":
    main()
