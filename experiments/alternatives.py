"""What users would take instead of a population: schedules, optimisers and other libraries.

    python -m experiments.alternatives --quick
    python -m experiments.alternatives

A small network learns Fashion-MNIST at 7 by 7 pixels by SGD with momentum, in NumPy, in batches of
16 with labels of which 40 % were drawn anew, so that rates must be annealed. The learning rate and
the decay of weights are searched. Every search trains as many steps in all as a population of 22.
What is ``averaged`` is scored by a running average of its weights. What begins with ``one`` trains
a single network, with hyperparameters chosen on other seeds, and ``long`` one network for as many
steps as the population has together.

``test`` is the accuracy on the 10,000 test images, in percent, of the weights with the best
``validation``: the accuracy on 5,000 other images at the end of a turn. ``seconds`` is the time of
the search, without the start of Ray, and ``cpu_s`` the CPU time of all its processes.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import ramet
from experiments.descent import (
    BATCH,
    HIDDEN,
    SIDE,
    Averaged,
    Momentum,
    Prodigy,
    ScheduleFree,
    accuracy,
    load,
)
from experiments.peers import (
    BOUNDS,
    FIRST,
    SHAPE,
    Budget,
    Found,
    measure_cpu_s,
    search_with_optuna,
    search_with_ray,
    start_ray,
)
from experiments.trials import Experiment, Setting, run_experiment

MEMBERS, SCORES = 22, 10
FULL, QUICK = Budget(MEMBERS, 20, 100), Budget(MEMBERS, 4, 20)
FACTORS = (0.5, 0.8, 1.25, 2.0)
DECAY_FROM = 0.8


@dataclass(frozen=True, slots=True)
class Optimizer:
    """A way to descend, and where its rates begin."""

    task: Momentum
    first_lr: tuple[float, float]


SGD = Optimizer(Momentum(), FIRST["lr"])
AVERAGED = Optimizer(Averaged(), FIRST["lr"])
SCHEDULE_FREE = Optimizer(ScheduleFree(), (1e-2, 1.0))
PRODIGY = Optimizer(Prodigy(), (0.1, 10.0))
# The best of a few on seeds 1000 to 1002. Prodigy promises that there is nothing to choose.
CHOSEN_COSINE = {"lr": 0.04, "decay": 1e-4}
CHOSEN_STABLE = {"lr": 0.02, "decay": 1e-4}
CHOSEN_SCHEDULE_FREE = {"lr": 0.5, "decay": 1e-4}
CHOSEN_PRODIGY = {"lr": 1.0, "decay": BOUNDS["decay"][0]}


def warm_up_and_decay(part: float) -> float:
    """Warm up as the cosine does, stay, and decay over the last fifth."""
    return min(1.0, part / SHAPE.warmup, (1.0 - part) / (1.0 - DECAY_FROM))


def stay(part: float) -> float:
    """Stay as it is."""
    del part
    return 1.0


@dataclass(frozen=True, slots=True)
class Scheduled:
    """Networks whose rates follow a shape: random search over them, or a single one."""

    optimizer: Optimizer = SGD
    shape: Callable[[float], float] = SHAPE
    # The hyperparameters of a single network; None searches with as many as a population has.
    chosen: Mapping[str, float] | None = None
    # How many times as long a network is trained.
    times: int = 1

    def search(self, budget: Budget, seed: int, engine: ramet.Engine) -> Found:
        """Return the best weights of a search."""
        strategy = ramet.HandTuned(
            population=budget.members if self.chosen is None else 1,
            turn_steps=self.times * budget.turn_steps,
            shapes={"lr": self.shape},
            synchronous=True,
            initial=[] if self.chosen is None else [self.chosen],
        )
        steps = self.times * budget.turn_steps * budget.rounds
        return run(self.optimizer, strategy, steps, seed, engine)


@dataclass(frozen=True, slots=True)
class Evolved:
    """A population whose members copy each other."""

    make: Callable[[Budget], ramet.Strategy]
    optimizer: Optimizer = SGD

    def search(self, budget: Budget, seed: int, engine: ramet.Engine) -> Found:
        """Return the best weights of a search."""
        steps = budget.turn_steps * budget.rounds
        return run(self.optimizer, self.make(budget), steps, seed, engine)


def run(
    optimizer: Optimizer, strategy: ramet.Strategy, steps: int, seed: int, engine: ramet.Engine
) -> Found:
    """Run a strategy, in memory; return its best weights."""
    space = make_space(optimizer)
    result = ramet.run(
        optimizer.task, space, strategy, steps=steps, mode="max", seed=seed, engine=engine
    )
    _, _, test = load()
    return Found(result.best.score, accuracy(result.best.load()["weights"], test))


def pbt(budget: Budget) -> ramet.Strategy:
    return ramet.PBT(
        population=budget.members,
        turn_steps=budget.turn_steps,
        explore=ramet.Perturb(FACTORS),
        synchronous=True,
    )


def fire(budget: Budget) -> ramet.Strategy:
    every = budget.turn_steps // SCORES
    return ramet.FIRE.for_workers(
        budget.members, turn_steps=budget.turn_steps, evaluate_every=every
    )


def make_space(optimizer: Optimizer) -> ramet.Space:
    return ramet.Space(
        lr=ramet.LogUniform(BOUNDS["lr"][0], 10.0, start=optimizer.first_lr),
        decay=ramet.LogUniform(*BOUNDS["decay"], start=FIRST["decay"]),
    )


METHODS: dict[str, Scheduled | Evolved] = {
    "pbt": Evolved(pbt),
    "fire": Evolved(fire),
    "pbt averaged": Evolved(pbt, AVERAGED),
    "fire averaged": Evolved(fire, AVERAGED),
    "constant": Scheduled(shape=stay),
    "constant averaged": Scheduled(AVERAGED, stay),
    "cosine": Scheduled(),
    "stable": Scheduled(shape=warm_up_and_decay),
    "schedule-free": Scheduled(SCHEDULE_FREE, stay),
    "prodigy": Scheduled(PRODIGY),
    "one cosine": Scheduled(chosen=CHOSEN_COSINE),
    "one stable": Scheduled(shape=warm_up_and_decay, chosen=CHOSEN_STABLE),
    "one schedule-free": Scheduled(SCHEDULE_FREE, stay, chosen=CHOSEN_SCHEDULE_FREE),
    "one prodigy": Scheduled(PRODIGY, chosen=CHOSEN_PRODIGY),
    "long cosine": Scheduled(chosen=CHOSEN_COSINE, times=MEMBERS),
}
OPTUNA = {"optuna hyperband": "hyperband", "optuna median": "median"}
RAY = {"ray pbt": "pbt", "ray pb2": "pb2", "ray asha": "asha"}


def train(method: str, seed: int, setting: Setting) -> dict[str, float]:
    """Search with a method; return the accuracies of what it found, and its time."""
    budget = QUICK if setting.quick else FULL
    load()
    if method in RAY:
        start_ray()
    began, began_cpu_s = time.perf_counter(), measure_cpu_s()
    found = _search(method, budget, seed, setting.engine)
    return {
        "validation": 100 * found.score,
        "test": 100 * found.test,
        "seconds": round(time.perf_counter() - began, 1),
        "cpu_s": round(measure_cpu_s() - began_cpu_s, 1),
    }


def _search(method: str, budget: Budget, seed: int, engine: ramet.Engine) -> Found:
    if method in OPTUNA:
        return search_with_optuna(OPTUNA[method], budget, seed)
    if method in RAY:
        return search_with_ray(RAY[method], budget, seed)
    return METHODS[method].search(budget, seed, engine)


def settings(*, quick: bool) -> dict[str, Any]:
    """Return what results depend on."""
    budget = QUICK if quick else FULL
    return {**budget._asdict(), "batch": BATCH, "hidden": HIDDEN, "side": SIDE}


ALL = [*METHODS, *OPTUNA, *RAY]
EXPERIMENTS = [
    Experiment(
        name="alternatives",
        train=train,
        methods=ALL,
        settings=settings,
        compared="test",
        headings={
            "validation": "validation, %",
            "test": "test, %",
            "seconds": "seconds",
            "cpu_s": "CPU seconds",
        },
        pairs=[
            *((method, "pbt") for method in ALL if method != "pbt"),
            ("pbt averaged", "cosine"),
            ("pbt averaged", "schedule-free"),
            ("pbt averaged", "constant averaged"),
        ],
        engine="inline",
    )
]

if __name__ == "__main__":
    run_experiment(EXPERIMENTS, __doc__)
