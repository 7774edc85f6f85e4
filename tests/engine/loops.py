"""Training loops and spaces that the engine's tests share."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import ramet

SPACE = ramet.Space(lr=ramet.LogUniform(1e-3, 1.0), decay=ramet.Uniform(0.0, 0.5))


class Descent:
    """Gradient descent on a bowl from a random start; a batch is a random tilt of it."""

    def init(self, rng: np.random.Generator) -> dict[str, Any]:
        return {"w": rng.normal(size=3), "seen": 0}

    def step(
        self, state: dict[str, Any], hparams: Any, steps: int, rng: np.random.Generator
    ) -> dict[str, Any]:
        w = state["w"].copy()
        for _ in range(steps):
            gradient = w + 0.1 * rng.normal(size=3)
            w -= hparams["lr"] * gradient + 0.01 * hparams["decay"] * w
        return {"w": w, "seen": state["seen"] + steps}

    def evaluate(self, state: dict[str, Any]) -> float:
        return -float(state["w"] @ state["w"])


def descent_loop(session: ramet.Session) -> None:
    """Train as `Descent` does, in a loop of one's own."""
    task = Descent()
    state = task.init(session.rng)
    for turn in session.turns(state):
        for _ in turn:
            state.update(task.step(state, turn.hparams, 1, turn.rng))
            if turn.evaluation_due:
                turn.report(task.evaluate(state))


def pbt(population: int = 6, **settings: Any) -> ramet.PBT:
    """Return PBT with short turns."""
    return ramet.PBT(**{"population": population, "turn_steps": 4, **settings})


def by_hand(
    order: Callable[[Sequence[ramet.Turn]], Sequence[ramet.Turn]],
    strategy: ramet.Strategy,
    *,
    steps: int = 24,
    seed: int = 0,
) -> ramet.Run:
    """Train `Descent` by ask and tell, the turns that are out at a time in any order."""
    task = Descent()
    run = ramet.open(space=SPACE, strategy=strategy, steps=steps, mode="max", seed=seed)
    while not run.population.done:
        turns = []
        for _ in range(len(run.population)):
            turn = run.ask()
            assert turn is not None
            turns.append(turn)
        for turn in order(turns):
            state = turn.load(default=task.init)
            for count in turn.stretches():
                state = task.step(state, turn.hparams, count, turn.rng)
                turn.report(task.evaluate(state))
            run.tell(turn, state=state)
    return run
