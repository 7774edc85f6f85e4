"""FIRE and PBT with and without rounds, on workers of different speeds, in virtual time.

    python -m benchmarks.uneven --seeds 20 --json

Each method trains 22 members on the noisy quadratic, and each member the same number of steps. One
process plays all workers: it asks for turns and tells their results as they do, and nobody sleeps.
A worker of slowness 4 takes four times as long for a turn as one of slowness 1; single turns vary
by ``--jitter``. ``median``, ``q25`` and ``q75`` are over seeds, of the true loss of a run's best
weights, and ``limit`` that of the best schedule. ``step`` is the median of the steps behind these
weights: without rounds, a slow member may copy a fast one and train its weights for longer than the
budget of one member. ``within`` is the median loss of the best weights with no more steps behind
them than that budget. ``time`` is the median of how long the run takes, in turns of the fastest
worker, and ``busy`` the part of the workers' time that they train.
"""

import heapq
import math
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import cycle, islice
from typing import Any, NamedTuple

import numpy as np

import ramet
from benchmarks.quadratic import EVALUATE_EVERY, FIRES, MILD, TURN_STEPS
from benchmarks.reporting import parser, report
from ramet.events import AnyEvent, Copied, TurnEnded, Weights
from ramet.points import Point
from ramet.population import Checkpoint, Population
from ramet.testing import QUADRATIC_SPACE, Quadratic
from ramet.testing.quadratic_optimum import best_schedule, final_loss

MEMBERS = 22


def fire(*, synchronous: bool) -> ramet.Strategy:
    return ramet.FIRE.for_workers(
        MEMBERS, turn_steps=TURN_STEPS, evaluate_every=EVALUATE_EVERY, synchronous=synchronous
    )


def pbt(*, synchronous: bool, factors: Sequence[float] = FIRES) -> ramet.Strategy:
    return ramet.PBT(
        population=MEMBERS,
        turn_steps=TURN_STEPS,
        exploit=ramet.Truncation(0.25),
        explore=ramet.Perturb(factors),
        evaluate_every=EVALUATE_EVERY,
        synchronous=synchronous,
    )


METHODS: dict[str, Callable[..., ramet.Strategy]] = {
    "fire": fire,
    "pbt": pbt,
    "pbt-mild": partial(pbt, factors=MILD),
}
# How many workers there are, and how long each takes for a turn; repeated for as many as there are.
FLEETS: dict[str, tuple[int, Sequence[float]]] = {
    "22 equal": (22, (1.0,)),
    "22 of 1:2:4": (22, (1.0, 2.0, 4.0)),
    "6 of 1:2:4": (6, (1.0, 2.0, 4.0)),
}


class Outcome(NamedTuple):
    """What a run came to."""

    # The loss of the best weights, the steps behind them, and the loss of the best of those that
    # have no more steps behind them than the budget.
    loss: float
    step: int
    within: float
    time: float
    busy: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One method, with or without rounds, on one fleet of workers."""

    method: str
    synchronous: bool
    fleet: str
    rounds: int
    jitter: float
    task: Quadratic

    def run(self, seed: int) -> Outcome:
        run = ramet.open(
            space=QUADRATIC_SPACE,
            strategy=METHODS[self.method](synchronous=self.synchronous),
            steps=self.rounds * TURN_STEPS,
            mode="max",
            seed=seed,
        )
        losses: dict[tuple[int, int], float] = {}
        time, trained = self._train(run, losses, np.random.default_rng([seed, 1]))
        events, population = run.result().events, run.population
        best = find_best(events, population)
        within = find_best(events, population, most=population.steps)
        workers, _ = FLEETS[self.fleet]
        return Outcome(
            losses[best.member, best.turn],
            best.step,
            losses[within.member, within.turn],
            time,
            trained / (workers * time),
        )

    def _train(
        self, run: ramet.Run, losses: dict[tuple[int, int], float], rng: np.random.Generator
    ) -> tuple[float, float]:
        """Train a run to its end; return how long it took, and how long workers trained in all.

        The loss that each turn ended with is added to ``losses``, by its member and number.
        """
        workers, slowness = FLEETS[self.fleet]
        slow = list(islice(cycle(slowness), workers))
        # When turns end, the workers that train them, and the workers that wait for one.
        due: list[tuple[float, int, ramet.Turn]] = []
        waiting, now, trained = list(range(workers)), 0.0, 0.0
        while True:
            for worker, turn in _ask_for_all(run, waiting):
                lasts = slow[worker] * math.exp(self.jitter * rng.normal())
                lasts *= turn.steps / TURN_STEPS
                trained += lasts
                heapq.heappush(due, (now + lasts, worker, turn))
            if not due:
                return now, trained
            now, worker, turn = heapq.heappop(due)
            losses[turn.member, turn.number] = self._end(run, turn)
            waiting.append(worker)

    def _end(self, run: ramet.Run, turn: ramet.Turn) -> float:
        state = turn.load(default=self.task.init)
        for steps in turn.stretches():
            state = self.task.step(state, turn.hparams, steps, turn.rng)
            turn.report(self.task.evaluate(state))
        run.tell(turn, state=state)
        return self.task.loss(state)


def _ask_for_all(run: ramet.Run, waiting: list[int]) -> Iterator[tuple[int, ramet.Turn]]:
    """Give turns to the workers that wait, first to those that have waited longest."""
    while waiting and (turn := run.ask()) is not None:
        yield waiting.pop(0), turn


def find_best(
    events: Sequence[AnyEvent], population: Population, *, most: float = math.inf
) -> Checkpoint:
    """Return the best weights of a run, of those with at most so many steps behind them."""
    found: list[tuple[float, Checkpoint]] = []
    for event in events:
        match event:
            case TurnEnded(points=points) if population[event.member].ranked:
                found.append((_last(points), event.checkpoint))
            case Copied(weights=Weights() as weights) if population[event.member].ranked:
                found.append((_last(weights.points), weights.checkpoint))
    _, best = max(
        (each for each in found if each[1].step <= most), key=lambda each: (each[0], each[1].turn)
    )
    return best


def _last(points: Sequence[Point]) -> float:
    score = points[-1][1]
    return -math.inf if score is None else score


def summary(trial: Trial, found: Sequence[Outcome], limit: float) -> dict[str, Any]:
    q25, median, q75 = np.quantile([each.loss for each in found], [0.25, 0.5, 0.75]).tolist()
    return {
        "method": trial.method,
        "synchronous": trial.synchronous,
        "workers": trial.fleet,
        "median": median,
        "q25": q25,
        "q75": q75,
        "limit": limit,
        "step": float(np.median([each.step for each in found])),
        "within": float(np.median([each.within for each in found])),
        "time": float(np.median([each.time for each in found])),
        "busy": float(np.median([each.busy for each in found])),
    }


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--seeds", type=int, default=20, help="how many the medians are over")
    options.add_argument("--first-seed", type=int, default=0)
    options.add_argument("--rounds", type=int, default=40, help=f"of {TURN_STEPS} steps")
    options.add_argument("--jitter", type=float, default=0.1, help="of the log of a turn's time")
    options.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    options.add_argument("--workers", nargs="+", choices=FLEETS, default=list(FLEETS))
    options.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes to run in")
    chosen = options.parse_args()

    task = Quadratic()
    optimum = best_schedule(task, rounds=chosen.rounds, turn_steps=TURN_STEPS)
    limit = final_loss(task, optimum, turn_steps=TURN_STEPS)
    seeds = range(chosen.first_seed, chosen.first_seed + chosen.seeds)
    trials = [
        Trial(
            method=method,
            synchronous=synchronous,
            fleet=fleet,
            rounds=chosen.rounds,
            jitter=chosen.jitter,
            task=task,
        )
        for fleet in chosen.workers
        for method in chosen.methods
        for synchronous in (True, False)
    ]
    with ProcessPoolExecutor(chosen.jobs) as pool:
        runs = [(trial, pool.map(trial.run, seeds)) for trial in trials]
        for trial, found in runs:
            report(summary(trial, list(found), limit), as_json=chosen.json)


if __name__ == "__main__":
    main()
