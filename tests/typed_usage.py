"""What a user's strictly typed script looks like: mypy and pyright read it in `make check`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, assert_type

import jax
import numpy as np
import numpy.typing as npt
import pandas as pd
import polars as pl
import torch
from matplotlib.axes import Axes

import ramet
import ramet.jax
import ramet.torch
from ramet.strategies import Action, Birth, Copy

Weights = npt.NDArray[np.float64]


class Line:
    """A task whose values are named and annotated as its author thinks of them."""

    def init(self, rng: np.random.Generator) -> Weights:
        return rng.normal(size=3)

    def step(self, w: Weights, hp: dict[str, float], n: int, rng: np.random.Generator) -> Weights:
        return w * (1 - hp["lr"]) ** n

    def evaluate(self, w: Weights) -> float:
        return -float(w @ w)


def evaluate(state: dict[str, Weights], rng: np.random.Generator) -> float:
    return float(state["w"].sum() + rng.normal())


class JaxLine:
    def init(self, key: jax.Array) -> jax.Array:
        return jax.random.normal(key, (3,))

    def step(self, w: jax.Array, hp: dict[str, jax.Array], n: int, key: jax.Array) -> jax.Array:
        return w * (1 - hp["lr"]) ** n

    def evaluate(self, w: jax.Array) -> jax.Array:
        return -(w @ w)


class TorchLine:
    def init(self, rng: np.random.Generator) -> dict[str, torch.Tensor]:
        return {"w": torch.as_tensor(rng.normal(size=3))}

    def draw(self, rng: np.random.Generator, n: int) -> dict[str, Weights]:
        return {}

    def step(
        self, w: dict[str, torch.Tensor], hp: dict[str, torch.Tensor], drawn: dict[str, Any]
    ) -> dict[str, torch.Tensor]:
        return {"w": w["w"] * (1 - hp["lr"])}

    def evaluate(self, w: dict[str, torch.Tensor]) -> torch.Tensor:
        return -(w["w"] @ w["w"])


class Vector:
    """A state that saves itself."""

    def __init__(self) -> None:
        self.w = np.zeros(3)

    def capture(self) -> Weights:
        return self.w

    def restore(self, saved: Weights) -> None:
        self.w = saved


@dataclass(frozen=True)
class CopyTheFirst:
    """A strategy of one's own."""

    population: int
    turn_steps: int = 10
    evaluate_every: int | None = None
    synchronous: bool = True

    def births(self, space: ramet.Space, budget: int, rng: np.random.Generator) -> list[Birth]:
        return [Birth(hparams=space.sample(rng)) for _ in range(self.population)]

    def decide(
        self, seen: ramet.Population, ended: Sequence[int], rng: np.random.Generator
    ) -> list[Action]:
        return [Copy(member=id_, source=0) for id_ in ended if id_ > 0]


def train(session: ramet.Session) -> None:
    state = {"w": session.rng.normal(size=3)}
    for turn in session.turns(state):
        assert_type(turn, ramet.Turn)
        assert_type(turn.rng, np.random.Generator)
        for step in turn:
            assert_type(step, int)
            state["w"] *= 1 - turn.hparams["lr"]
        turn.report(-float(state["w"] @ state["w"]), norm=float(np.linalg.norm(state["w"])))


def train_vector(session: ramet.Session) -> None:
    vector = Vector()
    for turn in session.turns(vector):
        for steps in turn.stretches():
            assert_type(steps, int)
            vector.w = vector.w * (1 - turn.hparams["lr"]) ** steps
            turn.report(-float(vector.w @ vector.w))


def train_network(session: ramet.Session) -> None:
    ramet.torch.seed(session.seed)
    model = torch.nn.Sequential(torch.nn.Linear(1, 1), torch.nn.Dropout())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1)
    bind = {"lr": ramet.torch.base_lr(scheduler), "p": ramet.torch.dropout(model)}
    for turn in session.turns(ramet.torch.State(model, optimizer, scheduler, bind=bind)):
        list(turn)
        turn.report(model(torch.ones(1)).mean())


space = ramet.Space(
    lr=ramet.LogUniform(1e-3, 1.0), n=ramet.Choice([1, 2]), where=lambda h: h["lr"] < 0.9
)
rich = ramet.Space(
    {"rate": ramet.Array(ramet.LogUniform(1e-3, 1.0), ["body", "head"], together=True)},
    kind=ramet.Choice(["sgd", "adam"]),
    momentum=ramet.When(ramet.Uniform(0.0, 0.99), kind="sgd"),
    deep=ramet.When({"n": ramet.Integer(1, 9)}, {"kind": ["adam"]}),
    limits=[ramet.AtMost("rate.body", "rate.head"), ramet.SumAtMost(["momentum"], 0.9)],
)
pbt = ramet.PBT(population=5, turn_steps=5, explore=ramet.Resample(0.2, otherwise=ramet.Perturb()))
strategies: list[ramet.Strategy] = [
    pbt,
    ramet.FIRE(turn_steps=10, evaluate_every=5),
    ramet.FIRE(),
    ramet.PBT(population=5),
    ramet.FIRE.for_workers(22, turn_steps=10, evaluate_every=5),
    ramet.Grid([{"lr": 0.1, "n": 1}], turn_steps=5),
    ramet.HandTuned(population=5, turn_steps=5, shapes={"lr": ramet.Cosine()}),
    ramet.RandomSearch(population=5, turn_steps=5),
    CopyTheFirst(population=5),
]
lr = {"lr": ramet.LogUniform(1e-3, 1.0)}
nested = {"augment": {"p": ramet.Uniform(0.0, 1.0)}, "n": ramet.Choice([1, 2])}
for domains in (lr, nested):
    ramet.run(Line(), domains, pbt, steps=20, mode="max", seed=0)
tasks = (Line(), ramet.jax.Task(JaxLine()), ramet.torch.Task(TorchLine()))
for what in (*tasks, train, train_vector, train_network):
    result = ramet.run(what, space, pbt, steps=20, mode="max", seed=0)
    assert_type(result, ramet.Result)
    assert_type(result.best.score, float)
    assert_type(result.best.hparams, dict[str, Any])
    assert_type(result.final.step, int)
    weights: dict[str, Weights] = {"w": np.zeros(3)}
    assert_type(result.members[3].load(into=weights), dict[str, Weights])
    assert_type(result.best.load(into=Vector()), Vector)
    assert_type(result.population, ramet.Population)
    assert_type(result.population[0], ramet.Member)
    assert_type(result.to_pandas(), pd.DataFrame)
    assert_type(result.to_polars("copies"), pl.DataFrame)
    assert_type(ramet.plots.scores(result), Axes)
    assert_type(ramet.report.page(result), str)

    schedule = result.schedule()
    assert_type(schedule, ramet.Schedule)
    assert_type(schedule(3), dict[str, Any])
    for first_step, hparams in schedule:
        assert_type(first_step, int)
        assert_type(hparams, dict[str, Any])
    assert_type(schedule.stretch(40), ramet.Schedule)
    replayed = ramet.replay(what, schedule, seeds=(1, 2))
    assert_type(replayed, ramet.Replayed)
    assert_type(replayed.scores, list[float])
    assert_type(replayed.result.best.score, float)
    for measures in (*tasks, evaluate):
        assert_type(ramet.confirm(measures, result, top=2, times=2), ramet.Result)
    assert_type(result.best.confirmed, ramet.history.FreshScores | None)

run = ramet.open(space=space, strategy=pbt, steps=10, mode="max")
while (turn := run.ask()) is not None:
    assert_type(turn, ramet.Turn)
    assert_type(turn.steps, int)
    run.tell(turn, 0.5, state={"w": np.zeros(3)})
assert_type(run.result(), ramet.Result)

try:
    assert_type(ramet.history.load("runs.db", "lm"), ramet.Result)
except ramet.errors.StoreError as error:
    assert_type(error, ramet.errors.StoreError)

# What is not there is an error, and not Any.
no_such_room = ramet.plot  # type: ignore[attr-defined]
no_such_attribute = run.result().bets  # type: ignore[attr-defined]
