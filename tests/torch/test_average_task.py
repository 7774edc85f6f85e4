"""Averaged weights of a task in PyTorch."""

from typing import Any

import numpy as np
import pytest
import torch

import ramet
import ramet.torch
from ramet.averaging import Average
from ramet.errors import StateError, UsageError
from ramet.events import Copied, canonical
from ramet.torch.averaging_task import AveragingFunctions

RATES = ramet.Space(lr=ramet.LogUniform(1e-3, 0.3))
PBT = ramet.PBT(population=6, turn_steps=5, synchronous=True)
KINDS = [
    ramet.PolynomialAverage(power=4, of="params"),
    ramet.ExponentialAverage(decay=0.8, of="params"),
]


class Descent:
    """Descent in a bowl with noise."""

    def init(self, rng: np.random.Generator) -> dict[str, Any]:
        return {"params": {"w": torch.as_tensor(rng.normal(size=3)).float()}, "seen": np.int64(0)}

    def draw(self, rng: np.random.Generator, steps: int) -> dict[str, Any]:
        return {"noise": rng.normal(size=(steps, 3)).astype(np.float32)}

    def step(self, state: Any, hparams: Any, drawn: Any) -> dict[str, Any]:
        w = state["params"]["w"]
        moved = w - hparams["lr"] * (w + drawn["noise"])
        return {"params": {"w": moved}, "seen": state["seen"] + 1}

    def evaluate(self, state: Any) -> torch.Tensor:
        return (state["params"]["w"] ** 2).sum()


def run(task: ramet.torch.Task, **settings: Any) -> ramet.Result:
    settings = {"steps": 40, **settings}
    return ramet.run(task, RATES, PBT, mode="min", seed=0, **settings)


def task_of(average: Average | None, functions: Any = None) -> ramet.torch.Task:
    return ramet.torch.Task(functions or Descent(), device="cpu", compile=False, average=average)


@pytest.mark.parametrize("average", KINDS, ids=str)
def test_a_task_evaluates_the_average_in_every_engine(average: Average) -> None:
    task = task_of(average)
    alone = run(task)
    together = run(task, engine=ramet.Vectorized(chunk=6))
    assert any(isinstance(event, Copied) for event in alone.events)
    assert alone.best.score == pytest.approx(together.best.score, rel=1e-4)
    for result in (alone, together):
        tree = result.best.load()
        shown, own = task.as_state(tree), task.as_state(tree, averaged=False)
        assert (shown["params"]["w"] ** 2).sum().item() == pytest.approx(result.best.score)
        assert (own["params"]["w"] ** 2).sum().item() != pytest.approx(result.best.score)
        assert shown["seen"] == own["seen"] == 40


@pytest.mark.parametrize("average", [None, *KINDS], ids=str)
def test_a_run_is_confirmed_by_the_weights_that_scores_are_of(average: Average | None) -> None:
    task = task_of(average)
    raw = run(task, engine=ramet.Vectorized(chunk=6))
    assert task.evaluate(raw.best.load()) == pytest.approx(raw.best.score)

    def measure(state: Any, rng: np.random.Generator) -> torch.Tensor:
        return Descent().evaluate(task.as_state(state)) + 1e-3 * rng.normal()

    result = ramet.confirm(measure, raw, top=3)
    for candidate in result.population.confirmation.candidates:
        assert candidate.mean == pytest.approx(candidate.score, abs=5e-3)
    # Members that were written in a stack are named as if they had been written alone.
    alone = ramet.confirm(measure, run(task, engine=ramet.Vectorized(chunk=6)), top=3)
    assert canonical(alone.events) == canonical(result.events)


def test_a_task_that_draws_nothing_is_said_to_confirm_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    task = task_of(None)
    result = ramet.confirm(task, run(task), top=2, times=2)
    assert "but Task.evaluate gave the same score all 2 times" in caplog.text
    assert result.best.confirmed is not None
    assert result.best.confirmed.mean == pytest.approx(result.best.score)


@pytest.mark.parametrize("average", KINDS, ids=str)
def test_a_task_averages_after_each_step(average: Average) -> None:
    functions = task_of(average).functions
    state = functions.init(np.random.default_rng(0))
    drawn = functions.draw(np.random.default_rng(1), 5)
    weights, mean = state["trained"]["params"]["w"], torch.zeros(3)
    for t, noise in enumerate(torch.as_tensor(drawn["noise"])):
        weights = weights - 0.1 * (weights + noise)
        mean = mean + average.share(t + 1) * (weights - mean)
        state = functions.step(state, {"lr": 0.1}, {"noise": noise})
    shown = functions.unwrap(state, averaged=True)
    assert torch.allclose(shown["params"]["w"], mean, atol=1e-6)
    assert torch.equal(functions.unwrap(state, averaged=False)["params"]["w"], weights)


def test_a_task_may_be_scored_by_its_own_weights() -> None:
    task = task_of(ramet.PolynomialAverage(of="params", scored=False))
    result = run(task)
    tree = result.best.load()
    own, shown = task.as_state(tree), task.as_state(tree, averaged=True)
    assert (own["params"]["w"] ** 2).sum().item() == pytest.approx(result.best.score)
    assert not torch.equal(own["params"]["w"], shown["params"]["w"])


def test_a_task_goes_on_only_with_the_average_that_it_began_with(tmp_path: Any) -> None:
    where = {"store": tmp_path / "runs.db", "name": "a"}
    run(task_of(KINDS[0]), **where)
    with pytest.raises(StateError, match=r"was saved as a dict of .*Polynomial.*Exponential"):
        run(task_of(KINDS[1]), steps=60, existing="extend", **where)


def test_mistakes_in_a_task_are_explained() -> None:
    class Lost(Descent):
        def step(self, state: Any, hparams: Any, drawn: Any) -> dict[str, Any]:
            return {"seen": state["seen"]}

    with pytest.raises(UsageError, match=r"with the same names.*\['params\.w'\] were lost"):
        run(task_of(KINDS[0], Lost()))
    with pytest.raises(StateError, match=r"keys in \['seen'\]; name the weights.*of='params'"):
        run(task_of(ramet.PolynomialAverage()))
    with pytest.raises(StateError, match=r"must be ramet\.PolynomialAverage\(power=8\) or"):
        task_of(0.999)
    with pytest.raises(StateError, match=r"write ramet\.torch\.Task\(functions, average="):
        task_of(None).as_state(run(task_of(None)).best.load(), averaged=True)


def test_keys_with_dots_are_refused_and_masks_stay() -> None:
    class Two:
        def __init__(self, key: str) -> None:
            self.key = key

        def init(self, rng: np.random.Generator) -> dict[str, Any]:
            return {self.key: torch.tensor([0.0, -torch.inf])}

        def draw(self, rng: np.random.Generator, steps: int) -> dict[str, Any]:
            return {}

        def step(self, state: Any, hparams: Any, drawn: Any) -> Any:
            return state

        def evaluate(self, state: Any) -> Any:
            return state[self.key][0]

    average = ramet.PolynomialAverage(power=4)
    with pytest.raises(StateError, match=r"keys of a state with an average must be without dots"):
        AveragingFunctions(Two("a.b"), average).init(np.random.default_rng(0))
    functions = AveragingFunctions(Two("ab"), average)
    state = functions.init(np.random.default_rng(0))
    for _ in range(3):
        state = functions.step(state, {}, {})
    assert functions.unwrap(state, averaged=True)["ab"].tolist() == [0.0, -np.inf]
