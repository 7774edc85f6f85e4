"""The functions of a task, with a running average of the weights beside its state."""

from typing import Any

import numpy as np
import torch

from ramet.averaging import Average, choose_weights
from ramet.errors import StateError
from ramet.mapping.refusals import step_changed
from ramet.state.tree import Tree
from ramet.torch.functions import Functions, Tensors, check_nested, tensors
from ramet.torch.weights import is_weight, widen

TRAINED, AVERAGE, UPDATES = "trained", "average", "updates"


class AveragingFunctions:
    """Functions that train like those of a task, and average after each step.

    Args:
        functions: The functions of the task.
        average: The kind of average.
    """

    def __init__(self, functions: Functions, average: Average) -> None:
        self.functions, self.average = functions, average
        # A name in all checkpoints, so that a run goes on with the average that it began with.
        self._kind = repr(average)

    def init(self, rng: np.random.Generator) -> Tensors:
        made = self.functions.init(rng)
        check_nested(made, "a task's state")
        trained = tensors(made, "cpu")
        leaves = name_leaves(trained)
        _check_names(trained)
        names = choose_weights(self.average, {name: is_weight(leaves[name]) for name in leaves})
        return {
            TRAINED: trained,
            AVERAGE: {self._kind: {name: widen(leaves[name]).clone() for name in names}},
            UPDATES: torch.zeros((), dtype=torch.int64),
        }

    def draw(self, rng: np.random.Generator, steps: int) -> Tree:
        return self.functions.draw(rng, steps)

    def step(self, state: Tensors, hparams: Any, drawn: Tensors) -> Tensors:
        trained = self.functions.step(state[TRAINED], hparams, drawn)
        check_nested(trained, "what a task's step returns", kinds=torch.Tensor)
        updates = state[UPDATES] + 1
        leaves, share = name_leaves(trained), self.average.share(updates.double(), torch.expm1)
        means = state[AVERAGE][self._kind]
        if missing := [name for name in means if name not in leaves]:
            raise step_changed(f"{missing} were lost")
        moved = {
            name: _move(mean, leaves[name].to(mean.dtype), share) for name, mean in means.items()
        }
        return {TRAINED: trained, AVERAGE: {self._kind: moved}, UPDATES: updates}

    def evaluate(self, state: Tensors) -> Any:
        return self.functions.evaluate(self.unwrap(state, averaged=self.average.scored))

    def unwrap(self, state: Tensors, *, averaged: bool) -> Tensors:
        """Return the state of the task's own functions, with averaged weights if asked."""
        trained, means = state[TRAINED], state[AVERAGE][self._kind]
        return fill(trained, means) if averaged else trained


def _move(mean: torch.Tensor, live: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
    """Return an average that is moved towards the present weights by a share of the way."""
    # Where both are infinite, as in masks, a difference would be no number.
    moved = torch.where(live == mean, mean, torch.lerp(mean, live, share.to(mean.dtype)))
    return torch.where(share >= 1, live, moved)


def name_leaves(tree: Tensors, at: str = "") -> dict[str, torch.Tensor]:
    """Return the tensors in nested dicts by their paths, joined by dots."""
    if not isinstance(tree, dict):
        return {at: tree}
    parts = (name_leaves(tree[key], f"{at}.{key}" if at else str(key)) for key in tree)
    return {name: leaf for part in parts for name, leaf in part.items()}


def _check_names(tree: Tensors, at: str = "") -> None:
    """Refuse a key with a dot: it would look like a path."""
    if isinstance(tree, dict):
        for key, part in tree.items():
            if "." in str(key):
                raise StateError(
                    f"keys of a state with an average must be without dots, which separate the "
                    f"parts of a name, but one in {at or 'the state'!r} is {key!r}; rename it"
                )
            _check_names(part, f"{at}.{key}" if at else str(key))


def fill(tree: Tensors, means: dict[str, torch.Tensor], at: str = "") -> Tensors:
    """Return nested dicts with averages in place of the tensors with their paths."""
    if isinstance(tree, dict):
        return {
            key: fill(part, means, f"{at}.{key}" if at else str(key)) for key, part in tree.items()
        }
    return means[at].to(tree.dtype) if at in means else tree
