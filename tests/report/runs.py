"""Runs that reports are written of."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

import ramet
from ramet.errors import RunFailed
from tests.engine.loops import SPACE, Descent, pbt

# What nobody should call anything, and somebody will.
HOSTILE = "</script><script>alert('<b>&amp;\"')</script>"

HOSTILE_SPACE = ramet.Space(
    {
        "lr": ramet.LogUniform(1e-3, 1.0),
        "$x_{<i>": ramet.Uniform(0.0, 0.5),
        "kind": ramet.Choice([HOSTILE, "url(#x)", 'id="y"']),
    }
)


class Loss(Descent):
    """The same, as something that is to be low."""

    def evaluate(self, state: dict[str, Any]) -> float:
        return -super().evaluate(state)


class Failing(Descent):
    """Raises where the learning rate is high, which it says with all that HTML knows."""

    def step(self, state: Any, hparams: Any, steps: int, rng: np.random.Generator) -> Any:
        if hparams["lr"] > 0.02:
            raise ValueError(f"{HOSTILE} in {steps} steps")
        return super().step(state, {"lr": hparams["lr"], "decay": 0.0}, steps, rng)


class Overflowing(Descent):
    def evaluate(self, state: dict[str, Any]) -> float:
        return float("nan")


def finished(task: Any = None, **settings: Any) -> ramet.Result:
    """Train a run to its end."""
    strategy = settings.pop("strategy", pbt(synchronous=True, evaluate_every=2))
    space = settings.pop("space", SPACE)
    settings = {"steps": 24, "seed": 0, "name": "bowl", "mode": "max", **settings}
    return ramet.run(task or Descent(), space, strategy, **settings)


def going_on(store: Path | None = None, *, turns: int) -> ramet.Run:
    """Train some turns of a run, and hold one."""
    task = Descent()
    where = {} if store is None else {"store": store}
    run = ramet.open(
        **where,
        name="bowl",
        space=SPACE,
        strategy=pbt(),
        steps=24,
        mode="max",
        seed=0,
        worker="here",
    )
    for _ in range(turns):
        turn = run.ask()
        assert turn is not None
        state = turn.load(default=task.init)
        for count in turn.stretches():
            state = task.step(state, turn.hparams, count, turn.rng)
            turn.report(task.evaluate(state))
        run.tell(turn, state=state)
    run.ask()
    return run


def hostile(store: Path) -> ramet.Result:
    """Train a run, as far as it goes, in which everything that has a name is called something."""
    run = ramet.open(
        store,
        name=HOSTILE,
        space=HOSTILE_SPACE,
        strategy=pbt(population=9, initial=[{"lr": 0.005, "$x_{<i>": 0.1, "kind": HOSTILE}]),
        steps=8,
        mode="max",
        seed=0,
        worker=HOSTILE,
    )
    task = Failing()
    with suppress(RunFailed):
        while (turn := run.ask()) is not None:
            try:
                state = turn.load(default=task.init)
                for count in turn.stretches():
                    state = task.step(state, turn.hparams, count, turn.rng)
                    turn.report(task.evaluate(state))
            except ValueError as error:
                run.fail(turn, error)
            else:
                run.tell(turn, state=state)
    return run.result()
