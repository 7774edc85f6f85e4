"""Training loops of PyTorch, as worker processes find them too."""

from collections.abc import Callable

import torch
from torch import nn

import ramet
import ramet.torch

SPACE = ramet.Space(lr=ramet.LogUniform(1e-3, 0.1), dropout=ramet.Uniform(0.0, 0.5))


def pbt(population: int = 6, turn_steps: int = 5) -> ramet.PBT:
    return ramet.PBT(population=population, turn_steps=turn_steps, synchronous=True)


def descend(
    session: ramet.Session, before: Callable[[ramet.Turn], None] = lambda turn: None
) -> None:
    """Learn a sum, with dropout and draws of PyTorch's own."""
    torch.set_num_threads(1)
    ramet.torch.seed(session.seed)
    dropout = nn.Dropout()
    model = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), dropout, nn.Linear(16, 1))
    optimizer = torch.optim.AdamW(model.parameters())
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=40)
    bind = {"lr": ramet.torch.base_lr(scheduler), "dropout": (dropout, "p")}
    state = ramet.torch.State(model, optimizer, scheduler, bind=bind)
    for turn in session.turns(state):
        before(turn)
        for _ in turn:
            x = torch.randn(16, 4)
            optimizer.zero_grad()
            loss = nn.functional.mse_loss(model(x), x.sum(dim=1, keepdim=True))
            loss.backward()
            optimizer.step()
            scheduler.step()
        turn.report(-loss.item())
