"""A small training that draws from every generator, as tests begin and go on with it."""

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

import ramet.torch
from ramet.state import Tree, decode, encode

MakeOptimizer = Callable[[Any], torch.optim.Optimizer]


class Net(nn.Module):
    """A network with parameters, buffers and dropout."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, width), nn.BatchNorm1d(width), nn.ReLU())
        self.dropout = nn.Dropout(0.25)
        self.head = nn.Linear(width, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.dropout(self.body(x)))


class Training:
    """A network, what trains it, and the state that both are."""

    def __init__(
        self,
        make_optimizer: MakeOptimizer,
        make_scheduler: Callable[[Any], Any] = lambda optimizer: None,
        **settings: Any,
    ) -> None:
        self.model = Net()
        self.optimizer = make_optimizer(self.model.parameters())
        self.scheduler = make_scheduler(self.optimizer)
        others = [] if self.scheduler is None else [self.scheduler]
        self.state = ramet.torch.State(self.model, self.optimizer, *others, **settings)

    def steps(self, number: int) -> list[float]:
        """Train, and return the losses."""
        return [self.step() for _ in range(number)]

    def step(self) -> float:
        # From the global generators, as other people's code does.
        x = torch.randn(16, 4) * random.random() + np.random.random()  # noqa: S311, NPY002 - as said
        y = x.sum(dim=1, keepdim=True)

        def loss() -> torch.Tensor:
            self.optimizer.zero_grad()
            found = nn.functional.mse_loss(self.model(x), y)
            found.backward()
            return found

        found = self.optimizer.step(loss).item()
        if isinstance(self.scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau):
            self.scheduler.step(found)
        elif self.scheduler is not None:
            self.scheduler.step()
        return found


def written(state: Any) -> Tree:
    """Return a state's tree as it comes back from a file."""
    return decode(b"".join(map(bytes, encode(state.capture()))))


def sgd(params: Any) -> torch.optim.Optimizer:
    return torch.optim.SGD(params, lr=0.05, momentum=0.9)


def adamw(params: Any) -> torch.optim.Optimizer:
    return torch.optim.AdamW(params, lr=0.01)
