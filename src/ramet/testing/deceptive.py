"""A task on which greedy choices are bad ones, though each improves the score at once."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ramet.domains import Uniform
from ramet.space import Space

# The hyperparameter of the task. Members start near the beginning of the best schedule.
DECEPTIVE_SPACE = Space(h=Uniform(1e-4, 1.1, start=(0.9, 1.1)))


@dataclass(frozen=True, slots=True)
class Deceptive:
    """One weight θ that shrinks faster with a lower h, until the penalty for that comes.

    A step multiplies θ, which starts at 0.9, by 1 - 2 · rate · max(2 - h - p, 0). The score is
    1.2 - θ². The penalty p of weights is the sum, over the rounds behind them, of ``penalty`` times
    the distance of h from a line that falls from 1 to 0 over the budget. So each round on its own
    is best with the lowest h, and the whole is best with h on the line. With ``penalty=0`` nothing
    is deceptive.

    >>> task, rng = Deceptive(), np.random.default_rng(0)
    >>> state = task.step(task.init(rng), {"h": 0.5}, 20, rng)
    >>> state["penalty"], round(task.evaluate(state), 4)
    (0.1, 0.4817)
    """

    # How much of a distance from the line is added to the penalty after each round.
    penalty: float = 0.2
    # Steps in a round.
    round_steps: int = 20
    # Rounds in the budget.
    rounds: int = 50
    # The rate.
    learning_rate: float = 0.001

    @property
    def steps(self) -> int:
        """The budget."""
        return self.round_steps * self.rounds

    def line(self, round_: int) -> float:
        """Return the h of a round that adds no penalty.

        Args:
            round_: The number of the round, counted from 0.
        """
        return 1 - round_ / self.rounds

    def init(self, rng: np.random.Generator) -> dict[str, Any]:  # noqa: ARG002 - all start alike
        return {"weight": 0.9, "penalty": 0.0, "step": 0}

    def step(
        self,
        state: Mapping[str, Any],
        hparams: Mapping[str, Any],
        steps: int,
        rng: np.random.Generator,  # noqa: ARG002 - it is deterministic
    ) -> dict[str, Any]:
        weight, penalty, step = state["weight"], state["penalty"], state["step"]
        for _ in range(steps):
            weight *= 1 - 2 * self.learning_rate * max(2 - hparams["h"] - penalty, 0.0)
            step += 1
            if step % self.round_steps == 0:
                past = step // self.round_steps - 1
                penalty += self.penalty * abs(hparams["h"] - self.line(past))
        return {"weight": weight, "penalty": penalty, "step": step}

    def evaluate(self, state: Mapping[str, Any]) -> float:
        return 1.2 - float(state["weight"]) ** 2
