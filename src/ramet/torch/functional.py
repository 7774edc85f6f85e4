"""Optimizers as functions of tensors, for tasks that train several members at once.

Rates are arguments, so that under ``torch.vmap`` each member has its own.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch

Tensors: TypeAlias = dict[str, torch.Tensor]
# A number, or a tensor of one.
Rate: TypeAlias = Any


@dataclass(frozen=True, slots=True)
class SGD:
    """Stochastic gradient descent with momentum, like ``torch.optim.SGD``.

    >>> params = {"w": torch.ones(1)}
    >>> optimizer = SGD()
    >>> state = optimizer.init(params)
    >>> params, state = optimizer.update(params, {"w": torch.ones(1)}, state, lr=0.25)
    >>> params["w"].item()
    0.75
    """

    def init(self, params: Mapping[str, torch.Tensor]) -> dict[str, Tensors]:
        """Return the optimizer's state before the first step.

        Args:
            params: The parameters, by name.
        """
        return {"momentum": {name: torch.zeros_like(param) for name, param in params.items()}}

    def update(
        self,
        params: Mapping[str, torch.Tensor],
        slopes: Mapping[str, torch.Tensor],
        state: Mapping[str, Any],
        *,
        lr: Rate,
        momentum: Rate = 0.9,
        weight_decay: Rate = 0.0,
    ) -> tuple[Tensors, dict[str, Tensors]]:
        """Return the parameters and the optimizer's state after a step.

        Args:
            params: The parameters, by name.
            slopes: Their gradients, by the same names.
            state: What ``init`` or the last ``update`` returned.
            lr: The learning rate.
            momentum: How much of the last step is kept.
            weight_decay: The factor of the L2 penalty.
        """
        before = state["momentum"]
        after = {
            name: momentum * before[name] + slopes[name] + weight_decay * param
            for name, param in params.items()
        }
        moved = {name: param - lr * after[name] for name, param in params.items()}
        return moved, {"momentum": after}


@dataclass(frozen=True, slots=True)
class AdamW:
    """Adam with decoupled weight decay, like ``torch.optim.AdamW``."""

    # Added to the denominator, against division by zero.
    eps: float = 1e-8

    def init(self, params: Mapping[str, torch.Tensor]) -> dict[str, Any]:
        """Return the optimizer's state before the first step.

        Args:
            params: The parameters, by name.
        """
        zeros = [{name: torch.zeros_like(param) for name, param in params.items()} for _ in "12"]
        return {"first": zeros[0], "second": zeros[1], "steps": torch.zeros(())}

    def update(
        self,
        params: Mapping[str, torch.Tensor],
        slopes: Mapping[str, torch.Tensor],
        state: Mapping[str, Any],
        *,
        lr: Rate,
        weight_decay: Rate = 1e-2,
        beta1: Rate = 0.9,
        beta2: Rate = 0.999,
    ) -> tuple[Tensors, dict[str, Any]]:
        """Return the parameters and the optimizer's state after a step.

        Args:
            params: The parameters, by name.
            slopes: Their gradients, by the same names.
            state: What ``init`` or the last ``update`` returned.
            lr: The learning rate.
            weight_decay: How much parameters shrink in a step, relative to ``lr``.
            beta1: How much of the mean of gradients is kept.
            beta2: How much of the mean of squared gradients is kept.
        """
        steps = state["steps"] + 1
        first = {n: beta1 * m + (1 - beta1) * slopes[n] for n, m in state["first"].items()}
        second = {n: beta2 * v + (1 - beta2) * slopes[n] ** 2 for n, v in state["second"].items()}
        rate, scale = lr / (1 - beta1**steps), (1 - beta2**steps) ** 0.5
        moved = {
            name: param * (1 - lr * weight_decay)
            - rate * first[name] / (second[name].sqrt() / scale + self.eps)
            for name, param in params.items()
        }
        return moved, {"first": first, "second": second, "steps": steps}
