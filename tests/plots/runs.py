"""Runs that plots are drawn of."""

import functools
import sys
from collections.abc import Callable
from typing import Literal

import numpy as np
from msgspec.structs import replace

import ramet
from ramet.testing import QUADRATIC_SPACE, Quadratic
from tests.engine.loops import SPACE, Descent, pbt

LARGEST = sys.float_info.max
# Whether a turn that is to raise once has.
FAILED: list[bool] = []
# A domain of each kind.
MIXED = ramet.Space(
    lr=ramet.LogUniform(1e-3, 1.0),
    decay=ramet.Uniform(0.0, 0.5),
    batch=ramet.Integer(8, 512, log=True),
    kind=ramet.Choice(["flip", "crop", None]),
    fixed=ramet.Constant(0.9),
)


@functools.cache
def descended(mode: Literal["max", "min"] = "max", seed: int = 0) -> ramet.Result:
    """Return a run of PBT that is done."""
    strategy = pbt(synchronous=True, evaluate_every=2)
    return ramet.run(Descent(), SPACE, strategy, steps=24, seed=seed, mode=mode)


@functools.cache
def loosely() -> ramet.Result:
    """Return a run whose losses span orders of magnitude, and whose members do not wait."""

    def loss(session: ramet.Session) -> None:
        state = {"x": np.ones(1)}
        for turn in session.turns(state):
            for _ in turn:
                state["x"] *= 1 - turn.hparams["lr"]
            turn.report(float(state["x"][0]) + 1e-9)

    space = ramet.Space(lr=ramet.LogUniform(1e-3, 0.9))
    return ramet.run(loss, space, pbt(8), steps=80, seed=0, mode="min")


@functools.cache
def troubled() -> ramet.Result:
    """Return a run with a score that is far off, and a turn that raised."""

    def train(session: ramet.Session) -> None:
        state = {"x": np.zeros(1)}
        for turn in session.turns(state):
            for _ in turn:
                state["x"] += turn.hparams["lr"]
            odd = turn.member == 1 and turn.number == 1
            if odd and not FAILED:
                FAILED.append(True)
                raise ValueError("once")
            turn.report(-1e9 if odd else state["x"][0])

    space = ramet.Space(lr=ramet.LogUniform(1e-3, 1.0))
    strategy = ramet.RandomSearch(population=6, turn_steps=2)
    return ramet.run(train, space, strategy, steps=24, mode="max", seed=0)


@functools.cache
def restarted() -> ramet.Result:
    """Return a run that was stopped, and went on an hour later."""
    result = ramet.run(Descent(), SPACE, pbt(), steps=24, mode="max", seed=0)
    half = len(result.log) // 2
    result.log[half:] = [replace(logged, at=logged.at + 3_600) for logged in result.log[half:]]
    return result


@functools.cache
def mixed() -> ramet.Result:
    """Return a run with hyperparameters of all kinds."""
    return ramet.run(Descent(), MIXED, pbt(12), steps=24, mode="max", seed=0)


@functools.cache
def fired() -> ramet.Result:
    """Return a run of FIRE in which evaluators succeeded."""
    strategy = ramet.FIRE.for_workers(22, turn_steps=48, evaluate_every=4)
    return ramet.run(Quadratic(), QUADRATIC_SPACE, strategy, steps=10 * 48, mode="max", seed=0)


@functools.cache
def alone() -> ramet.Result:
    """Return a run of one member."""
    strategy = ramet.RandomSearch(population=1, turn_steps=4)
    return ramet.run(Descent(), SPACE, strategy, steps=24, mode="max", seed=0)


@functools.cache
def measured() -> ramet.Result:
    """Return a run whose loop logs a loss, and numbers of all kinds."""

    def train(session: ramet.Session) -> None:
        state = {"x": 50 + 50 * session.rng.uniform(size=1)}
        for turn in session.turns(state):
            for _ in turn:
                state["x"] *= 1 - turn.hparams["lr"]
                turn.log(loss=state["x"][0], fraction=1 / (1 + state["x"][0]))
                if turn.step % 4 == 2:
                    odd = turn.member == 1 and turn.number == 1
                    turn.log(spiky=-1e9 if odd else turn.rng.normal(), gaps=np.nan)
            turn.report(state["x"][0], huge=(-1) ** turn.member * 1.7e308, gaps=turn.number)
            turn.log(nothing=-np.inf, same=0.0, **{"val/x": turn.number})

    space = ramet.Space(lr=ramet.LogUniform(1e-3, 0.5))
    strategy = pbt(8, turn_steps=8, synchronous=True)
    return ramet.run(train, space, strategy, steps=64, seed=0, mode="min")


def begun(population: int = 5) -> ramet.Run:
    """Return a run of which no turn has ended."""
    return ramet.open(space=SPACE, strategy=pbt(population), steps=8, mode="max", seed=0)


# Scores of a member's turns that are at the ends of what a float can be.
EXTREMES: dict[str, Callable[[int, int], float]] = {
    "one stand-in for failed": lambda member, turn: LARGEST if member == turn == 1 else 1.0 + turn,
    "nothing but the largest": lambda member, turn: LARGEST,
    "the largest and the lowest": lambda member, turn: LARGEST * (-1) ** member,
    "denormal": lambda member, turn: 1e-320 * (1 + member + turn),
}


@functools.cache
def extreme(scores: str, mode: Literal["max", "min"] = "min") -> ramet.Result:
    """Return a run of such scores, with domains that are as wide as floats."""

    def train(session: ramet.Session) -> None:
        for turn in session.turns({"n": 0}):
            for _ in turn:
                pass
            turn.report(EXTREMES[scores](turn.member, turn.number))

    space = ramet.Space(
        lr=ramet.LogUniform(5e-324, LARGEST),
        wide=ramet.Uniform(-LARGEST / 2, LARGEST / 2),
        tiny=ramet.Uniform(0.0, 5e-324),
    )
    strategy = ramet.PBT(
        population=6, turn_steps=1, synchronous=True, exploit=ramet.Truncation(0.3)
    )
    return ramet.run(train, space, strategy, steps=5, mode=mode, seed=0)
