"""The figures of docs/plots.md: every plot, of runs on a noisy quadratic and on a few processes.

python -m experiments.plot_gallery --out docs/figures
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

import ramet
from benchmarks.pareto import SPACE as TRADES
from benchmarks.pareto import train
from ramet import plots
from ramet.testing import QUADRATIC_SPACE, Quadratic

TURN_STEPS, ROUNDS = 48, 40
SEEDS = 5
# Of the run whose workers are shown.
PAUSES_S = 0.02, 0.12
SPACE = ramet.Space(
    lr=ramet.LogUniform(1e-3, 1.0),
    momentum=ramet.Uniform(0.0, 0.99),
    schedule=ramet.Choice(["constant", "cosine", None]),
)


class Slow:
    """A bowl to roll down, in turns that take more or less time."""

    def init(self, rng: np.random.Generator) -> dict[str, Any]:
        return {"w": rng.normal(size=10)}

    def step(
        self, state: dict[str, Any], hparams: Any, steps: int, rng: np.random.Generator
    ) -> dict[str, Any]:
        time.sleep(rng.uniform(*PAUSES_S))
        w = state["w"]
        kind = {"constant": 1.0, "cosine": 0.8, None: 0.3}[hparams["schedule"]]
        for _ in range(steps):
            pull = kind * hparams["lr"] * (1 + hparams["momentum"])
            w = w - pull * (w + 0.3 * rng.normal(size=10))
        return {"w": w}

    def evaluate(self, state: dict[str, Any]) -> float:
        return float(state["w"] @ state["w"])


def pbt(workers: int) -> ramet.PBT:
    return ramet.PBT(
        population=workers,
        turn_steps=TURN_STEPS,
        exploit=ramet.Truncation(0.25),
        explore=ramet.Perturb((0.5, 0.8, 1.25, 2.0)),
        synchronous=True,
    )


def fire(workers: int) -> ramet.FIRE:
    return ramet.FIRE.for_workers(workers, turn_steps=TURN_STEPS, evaluate_every=4)


def trained(
    strategy: ramet.Strategy, name: str, seed: int = 0, rounds: int = ROUNDS
) -> ramet.Result:
    steps = rounds * TURN_STEPS
    return ramet.run(
        Quadratic(), QUADRATIC_SPACE, strategy, steps=steps, mode="max", seed=seed, name=name
    )


def logged() -> ramet.Result:
    """Train a bowl whose loop logs its loss at each step."""

    def train(session: ramet.Session) -> None:
        state = {"w": 3 * session.rng.normal(size=10)}
        for turn in session.turns(state):
            for _ in turn:
                state["w"] -= turn.hparams["lr"] * (state["w"] + 0.3 * turn.rng.normal(size=10))
                turn.log(loss=state["w"] @ state["w"])
            turn.report(state["w"] @ state["w"])

    space = ramet.Space(lr=ramet.LogUniform(1e-3, 1.0))
    return ramet.run(train, space, pbt(12), steps=8 * TURN_STEPS, seed=0, mode="min", name="bowl")


def crowd() -> ramet.Result:
    """Train more members than have a line each, with a hyperparameter that does nothing."""

    class Idle(Quadratic):
        def step(self, state: Any, hparams: Any, steps: int, rng: np.random.Generator) -> Any:
            # A hyperparameter that no code reads is an error.
            hparams["idle"]
            return super().step(state, hparams, steps, rng)

    space = ramet.Space(lr=QUADRATIC_SPACE["lr"], idle=ramet.Uniform(0.0, 1.0))
    steps = 20 * TURN_STEPS
    return ramet.run(Idle(), space, pbt(60), steps=steps, mode="max", seed=0, name="PBT")


def traded() -> ramet.Result:
    """Train the task of benchmarks.pareto within a bound."""
    strategy = ramet.PBT(
        population=16,
        turn_steps=20,
        exploit=ramet.Pareto({"other": "min"}, at_most={"score": 0.6}),
        synchronous=True,
    )
    return ramet.run(train, TRADES, strategy, steps=600, seed=0, mode="min", name="trade")


def slowly() -> ramet.Result:
    strategy = ramet.PBT(population=12, turn_steps=5, synchronous=True)
    settings: dict[str, Any] = {"mode": "min", "seed": 0, "name": "bowl", "workers": 3}
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "runs.db"
        return ramet.run(Slow(), SPACE, strategy, steps=50, store=store, **settings)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("out"), help="the folder to draw to")
    out: Path = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)

    several = {
        "PBT": [trained(pbt(22), "PBT", seed) for seed in range(SEEDS)],
        "FIRE": [trained(fire(22), "FIRE", seed) for seed in range(SEEDS)],
    }
    short = trained(pbt(12), "PBT", rounds=16)
    plots.save(plots.scores(short), out / "plot-scores.svg")
    plots.save(plots.metric(logged(), "loss"), out / "plot-metric.svg")
    plots.save(plots.tree(short), out / "plot-tree.svg")
    plots.save(plots.hyperparameter(several["FIRE"][0], "lr"), out / "plot-hyperparameter.svg")
    plots.save(plots.best_so_far(several), out / "plot-best-so-far.svg")
    many = crowd()
    plots.save(plots.hyperparameter(many, "lr"), out / "plot-crowd.svg")
    plots.save(plots.importance(many), out / "plot-importance.svg")
    plots.save(plots.front(traded()), out / "plot-front.svg")
    bowl = slowly()
    plots.save(plots.lineage(several["FIRE"][0]), out / "plot-lineage.svg")
    plots.save(plots.parallel(bowl), out / "plot-parallel.svg")
    plots.save(plots.workers(bowl), out / "plot-workers.svg")
    print(f"drawn to {out}")


if __name__ == "__main__":
    main()
