"""Optimizers as functions, held to PyTorch's own."""

from typing import Any

import pytest
import torch

from ramet.torch import SGD, AdamW

SLOPES = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))


def by_function(optimizer: Any, **rates: Any) -> torch.Tensor:
    params = {"w": torch.ones(3)}
    state = optimizer.init(params)
    for slopes in SLOPES:
        params, state = optimizer.update(params, {"w": slopes}, state, **rates)
    return params["w"]


def by_torch(kind: type[torch.optim.Optimizer], **rates: Any) -> torch.Tensor:
    w = torch.ones(3, requires_grad=True)
    optimizer = kind([w], **rates)
    for slopes in SLOPES:
        w.grad = slopes.clone()
        optimizer.step()
    return w.detach()


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_sgd_is_that_of_pytorch(momentum: float, weight_decay: float) -> None:
    rates = {"lr": 0.3, "momentum": momentum, "weight_decay": weight_decay}
    expected = by_torch(torch.optim.SGD, **rates)
    assert torch.allclose(by_function(SGD(), **rates), expected, rtol=1e-6)


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_adamw_is_that_of_pytorch(weight_decay: float) -> None:
    expected = by_torch(torch.optim.AdamW, lr=0.1, weight_decay=weight_decay, betas=(0.8, 0.95))
    rates = {"lr": 0.1, "weight_decay": weight_decay, "beta1": 0.8, "beta2": 0.95}
    assert torch.allclose(by_function(AdamW(), **rates), expected, rtol=1e-5)


@pytest.mark.parametrize("optimizer", [SGD(), AdamW()])
def test_mapped_over_members_each_has_rates_of_its_own(optimizer: Any) -> None:
    rates = torch.tensor([0.1, 0.2, 0.4])
    mapped = torch.vmap(lambda lr: by_function(optimizer, lr=lr))(rates)
    alone = torch.stack([by_function(optimizer, lr=lr) for lr in rates.tolist()])
    assert torch.allclose(mapped, alone, rtol=1e-5)
