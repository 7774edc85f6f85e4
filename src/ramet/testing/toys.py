"""Tasks small enough for tests and figures."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ramet.domains import Domain, Uniform
from ramet.space import Space


@dataclass(frozen=True, slots=True)
class Toy:
    """The PBT paper's two parameters (its figure 2).

    The objective is Q = 1.2 - (x² + y²), but training ascends 1.2 - (h0·x² + h1·y²): with one of
    the two hyperparameters at 0, half of the problem stays invisible.
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
    """Explore by adding a normal deviate, as public reproductions of the toy do."""

    # The standard deviation.
    deviation: float = 0.1

    def move(self, domain: Domain, value: float, rng: np.random.Generator) -> Any:
        return domain.clip(value + rng.normal(0.0, self.deviation))


# The space of the task. Negative values would diverge; the upper bounds are out of reach.
TOY_SPACE = Space(h0=Uniform(0.0, 10.0), h1=Uniform(0.0, 10.0))
# The hyperparameters that its two members start with.
TOY_START = ({"h0": 1.0, "h1": 0.0}, {"h0": 0.0, "h1": 1.0})
