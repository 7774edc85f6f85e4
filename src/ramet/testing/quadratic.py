"""The noisy quadratic: a training task with learning rates that can be computed exactly.

The loss is half the sum of h·θ² over curvatures h = 1, 1/2, 1/3, …, and gradients have noise of
variance c = noise·h. The rate that lowers the loss fastest is too small for the flat directions, so
a greedy choice ends far from the optimum. ``ramet.testing.quadratic_optimum`` computes both.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ramet.averaging import Average
from ramet.domains import LogUniform
from ramet.space import Space

Floats: TypeAlias = NDArray[np.float64]

LEARNING_RATE = LogUniform(1e-4, 1.9, start=(0.01, 1.0))
# The space of the task: its learning rate.
QUADRATIC_SPACE = Space(lr=LEARNING_RATE)


@dataclass(frozen=True, slots=True)
class Quadratic:
    """The noisy quadratic in expectation: the second moments A = E θ², which start at 1.

    A score is -log loss plus an error. The error is part of the state, drawn by the step that leads
    to it, so a state has the same score whenever it is evaluated.

    >>> task, rng = Quadratic(dim=2, noise=0.0), np.random.default_rng(0)
    >>> state = task.step(task.init(rng), {"lr": 1.0}, 1, rng)
    >>> state["moments"], task.loss(state)
    (array([0.  , 0.25]), 0.0625)
    """

    # The number of dimensions.
    dim: int = 100
    # The variance of a gradient's noise, as a multiple of the curvature.
    noise: float = 1.0
    # The standard deviation of a score's error.
    deviation: float = 0.02

    @property
    def curvatures(self) -> Floats:
        """The curvature of each dimension."""
        return _curvatures(self.dim)

    def init(self, rng: np.random.Generator) -> dict[str, Any]:
        return {"moments": np.ones(self.dim), "error": rng.normal(0.0, self.deviation)}

    def step(
        self,
        state: Mapping[str, Any],
        hparams: Mapping[str, Any],
        steps: int,
        rng: np.random.Generator,
    ) -> dict[str, Any]:
        kept, added = self.effect(hparams["lr"], steps)
        # Rates above 2 diverge.
        with np.errstate(over="ignore", invalid="ignore"):
            moments = kept * state["moments"] + added
        return {"moments": moments, "error": rng.normal(0.0, self.deviation)}

    def evaluate(self, state: Mapping[str, Any]) -> float:
        return _score(self.loss(state), state["error"])

    def loss(self, state: Mapping[str, Any]) -> float:
        """Return the true loss, without the error that scores have.

        Args:
            state: What ``init`` or ``step`` returned.
        """
        return float(self.curvatures @ state["moments"]) / 2

    def effect(self, rates: ArrayLike, steps: int) -> tuple[Floats, Floats]:
        """Return the factor by which steps shrink each moment, and what noise adds to it.

        Args:
            rates: One or more learning rates.
            steps: How many steps are made at each.

        A step multiplies a moment by g = (1 - ah)² and adds a²c. So k steps keep gᵏ and add
        a²c(1 - gᵏ)/(1 - g), where 1 - g is ah(2 - ah).
        """
        scaled = np.multiply.outer(np.asarray(rates, dtype=float), self.curvatures)
        left = 2 - scaled
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            # (1 - ah)² is (1 - left)² too, and nothing is lost in 1 - the smaller.
            exponents = 2 * steps * np.log1p(-np.minimum(scaled, left))
            summed = scaled * np.where(left == 0, 2 * steps, -np.expm1(exponents) / left)
            return np.exp(exponents), self.noise / self.curvatures * summed


@dataclass(frozen=True, slots=True)
class SampledQuadratic:
    """The noisy quadratic itself: weights θ, which start at 1, and gradients with noise."""

    # The number of dimensions.
    dim: int = 100
    # The variance of a gradient's noise, as a multiple of the curvature.
    noise: float = 1.0
    # The standard deviation of a score's error.
    deviation: float = 0.02
    # The running average that scores and losses are of; None for those of the weights themselves.
    average: Average | None = None

    def init(self, rng: np.random.Generator) -> dict[str, Any]:
        state = {"weights": np.ones(self.dim), "error": rng.normal(0.0, self.deviation)}
        if self.average is not None:
            state |= {"average": np.ones(self.dim), "updates": 0}
        return state

    def step(
        self,
        state: Mapping[str, Any],
        hparams: Mapping[str, Any],
        steps: int,
        rng: np.random.Generator,
    ) -> dict[str, Any]:
        curvatures, lr = _curvatures(self.dim), hparams["lr"]
        weights = state["weights"]
        average, updates = state.get("average"), state.get("updates", 0)
        noise = np.sqrt(self.noise * curvatures) * rng.standard_normal((steps, self.dim))
        # Rates above 2 diverge.
        with np.errstate(over="ignore", invalid="ignore"):
            for step in range(steps):
                weights = weights - lr * (curvatures * weights + noise[step])
                if self.average is not None:
                    share = self.average.share(updates + step + 1)
                    average = average + share * (weights - average)
        after = {"weights": weights, "error": rng.normal(0.0, self.deviation)}
        if self.average is not None:
            after |= {"average": average, "updates": updates + steps}
        return after

    def evaluate(self, state: Mapping[str, Any]) -> float:
        return _score(self.loss(state), state["error"])

    def loss(self, state: Mapping[str, Any]) -> float:
        """Return the true loss, without the error that scores have.

        Args:
            state: What ``init`` or ``step`` returned.
        """
        weights = state["weights" if self.average is None else "average"]
        with np.errstate(over="ignore"):
            return float(_curvatures(self.dim) @ weights**2) / 2


@cache
def _curvatures(dim: int) -> Floats:
    curvatures = 1 / np.arange(1.0, dim + 1)
    # All callers share this array.
    curvatures.setflags(write=False)
    return curvatures


def _score(loss: float, error: float) -> float:
    with np.errstate(divide="ignore"):
        return float(error - np.log(loss))
