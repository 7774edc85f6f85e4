"""Tasks small enough for tests and figures."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ramet.domains import Domain, Uniform
from ramet.space import Space


@dataclass(frozen=True, slots=True)
class Toy:
    """The toy problem of the PBT paper (its figure 2), with two parameters.

    The score is 1.2 - (x² + y²), but training ascends 1.2 - (h0·x² + h1·y²). While one of the two
    hyperparameters is 0, its parameter is not trained.

    Args:
        learning_rate: The rate of the gradient ascent.
    """

    # The learning rate of the weights.
    learning_rate: float = 0.01

    def init(self, rng: np.random.Generator) -> np.ndarray:  # noqa: ARG002 - all start alike
        return np.array([0.9, 0.9])

    def step(
        self,
        state: np.ndarray,
        hparams: Mapping[str, Any],
        steps: int,
        rng: np.random.Generator,  # noqa: ARG002 - it is deterministic
    ) -> np.ndarray:
        weights = np.array([hparams["h0"], hparams["h1"]])
        for _ in range(steps):
            state = state - 2 * self.learning_rate * weights * state
        return state

    def evaluate(self, state: np.ndarray) -> float:
        return 1.2 - float(state @ state)


@dataclass(frozen=True, slots=True)
class Drift:
    """Explore by adding normal noise, as public reproductions of the toy problem do.

    Args:
        deviation: The standard deviation of the noise.
    """

    # The standard deviation.
    deviation: float = 0.1

    def move(self, domain: Domain, value: float, rng: np.random.Generator) -> Any:
        return domain.clip(value + rng.normal(0.0, self.deviation))


# A negative value would diverge; the upper bound is too high to be reached.
TOY_SPACE = Space(h0=Uniform(0.0, 10.0), h1=Uniform(0.0, 10.0))
# Where the two members begin, each with one hyperparameter at 0.
TOY_START = ({"h0": 1.0, "h1": 0.0}, {"h0": 0.0, "h1": 1.0})
