"""Importance of hyperparameters, on runs where the truth is known."""

import functools
from typing import Any

import numpy as np
import pytest

import ramet
from ramet.history.importance import Importance, _Line, _measure, measure_importance

SPACE = ramet.Space(
    lr=ramet.LogUniform(1e-3, 1.0),
    idle=ramet.Uniform(0.0, 1.0),
    pick=ramet.Choice(["a", "b", "c"]),
    fixed=ramet.Constant(1.0),
)


class Pull:
    """Falls towards 0 as far as the learning rate says; ``idle`` and ``pick`` do nothing."""

    def init(self, rng: np.random.Generator) -> dict[str, Any]:
        return {"w": 1 + rng.uniform(size=1)}

    def step(
        self, state: dict[str, Any], hparams: Any, steps: int, rng: np.random.Generator
    ) -> dict[str, Any]:
        assert hparams["idle"] >= 0
        assert hparams["pick"] in "abc"
        noise = 0.01 * rng.normal(size=1)
        return {"w": state["w"] * (1 - 0.3 * hparams["lr"]) ** (steps * hparams["fixed"]) + noise}

    def evaluate(self, state: dict[str, Any]) -> float:
        return float(state["w"][0])


@functools.cache
def trained(seed: int, members: int = 30) -> ramet.Result:
    strategy = ramet.PBT(population=members, turn_steps=2, synchronous=True)
    return ramet.run(Pull(), SPACE, strategy, steps=40, mode="min", seed=seed)


@functools.cache
def measured(seed: int, members: int = 30) -> dict[tuple[str, str], Importance]:
    found = measure_importance(trained(seed, members).lineage())
    return {(one.name, one.of): one for one in found}


@pytest.mark.parametrize("seed", range(3))
def test_what_decides_is_found_and_what_does_nothing_is_not(seed: int) -> None:
    found = measured(seed)
    assert found["lr", "first values"].found == "yes"
    assert found["lr", "first values"].part > 0.2
    for name in ("idle", "pick"):
        for of in ("first values", "changes"):
            assert found[name, of].found == "none found"
            assert found[name, of].part < found["lr", "first values"].part
    assert next(iter(found)) == ("lr", "first values")


def test_values_that_spread_with_good_weights_are_not_taken_for_causes() -> None:
    # Whoever copied the best has its values, also of what does nothing.
    last = [turn.hparams["pick"] for turn in trained(0).lineage().turns.last()]
    assert max(map(last.count, "abc")) > len(last) / 2
    assert measured(0)["pick", "changes"].found == "none found"


def test_intervals_hold_the_estimate_and_come_out_the_same() -> None:
    for one in measured(0).values():
        assert 0 <= one.low <= one.part <= one.high <= 1
    assert list(measured(0).values()) == measure_importance(trained(0).lineage())


def test_too_few_lines_are_said() -> None:
    first = {one.found for (_, of), one in measured(0, 5).items() if of == "first values"}
    assert first == {"too few lines"}


def test_first_values_that_are_all_the_same_are_too_few_to_compare() -> None:
    alike = [{"lr": 0.1, "idle": 0.5, "pick": "a", "fixed": 1.0}] * 16
    strategy = ramet.PBT(population=16, turn_steps=2, synchronous=True, initial=alike)
    result = ramet.run(Pull(), SPACE, strategy, steps=40, mode="min", seed=0)
    found = {(one.name, one.of): one for one in measure_importance(result.lineage())}
    assert found["lr", "first values"].found == "too few lines"
    assert found["lr", "first values"].lines == 0
    assert found["lr", "changes"].found != "too few lines"


def test_values_that_no_other_of_the_same_weights_has_are_not_counted() -> None:
    lines = [_Line(origin, origin, {"lr": 0.1 * origin}, 0.5, 0.5) for origin in range(20)]
    alone = _measure("lr", "changes", SPACE["lr"], lines)
    assert (alone.found, alone.lines) == ("too few lines", 0)


def test_constants_are_left_out() -> None:
    assert {name for name, _ in measured(0)} == {"lr", "idle", "pick"}
