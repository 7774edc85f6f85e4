"""What a user's strictly typed script looks like: mypy reads it in `make check`."""

from typing import Any, assert_type

import numpy as np
import numpy.typing as npt
import torch

import ramet
import ramet.torch

Weights = npt.NDArray[np.float64]


class Line:
    """A task whose values are annotated as its author thinks of them."""

    def init(self, rng: np.random.Generator) -> Weights:
        return rng.normal(size=3)

    def step(
        self, state: Weights, hparams: dict[str, float], steps: int, rng: np.random.Generator
    ) -> Weights:
        return state * (1 - hparams["lr"]) ** steps

    def evaluate(self, state: Weights) -> float:
        return -float(state @ state)


def train(member: ramet.Trainee) -> None:
    state = {"w": member.rng.normal(size=3)}
    for turn in member.turns(state):
        for step in turn:
            assert_type(step, int)
            state["w"] *= 1 - turn.hparams["lr"]
        turn.report(-float(state["w"] @ state["w"]))


def train_network(member: ramet.Trainee) -> None:
    ramet.torch.seed(member.seed)
    model = torch.nn.Sequential(torch.nn.Linear(1, 1), torch.nn.Dropout())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1)
    bind = {"lr": ramet.torch.base_lr(scheduler), "p": ramet.torch.dropout(model)}
    for turn in member.turns(ramet.torch.State(model, optimizer, scheduler, bind=bind)):
        list(turn)
        turn.report(model(torch.ones(1)).mean())


space = ramet.Space(
    lr=ramet.LogUniform(1e-3, 1.0), n=ramet.Choice([1, 2]), where=lambda h: h["lr"] < 0.9
)
strategy = ramet.PBT(population=5, ready=5, explore=ramet.Resample(0.2, otherwise=ramet.Perturb()))
for what in (Line(), train):
    result = ramet.run(what, space, strategy, steps=20, mode="max", seed=0)
    assert_type(result.best.score, float)
    assert_type(result.schedule()(3), dict[str, Any])
    assert_type(result.final.step, int)
    weights: dict[str, Weights] = {"w": np.zeros(3)}
    assert_type(result.members[3].load(into=weights), dict[str, Weights])
run = ramet.open(space=space, strategy=strategy, steps=10, mode="max")
assert_type(run.ask(), ramet.Turn | None)
