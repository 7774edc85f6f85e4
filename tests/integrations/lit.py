"""Modules that Lightning trains, as worker processes find them too."""

from collections.abc import Iterator
from typing import Any

import lightning
import torch
from torch import nn
from torch.utils.data import DataLoader, Sampler, TensorDataset

import ramet
import ramet.torch
from ramet.integrations.lightning import Turns

SUMS = TensorDataset(x := torch.linspace(-1, 1, 256).reshape(64, 4), x.sum(dim=1, keepdim=True))


class Net(lightning.LightningModule):
    """Learns a sum, with dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.dropout = nn.Dropout(0.1)
        self.layers = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), self.dropout, nn.Linear(8, 1))

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        x, y = batch
        return nn.functional.mse_loss(self.layers(x), y)

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        x, y = batch
        self.log("val_loss", nn.functional.mse_loss(self.layers(x), y))

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9)


class Drawn(Sampler[int]):
    """Draws without end, from PyTorch's own generator, when a batch is needed."""

    def __iter__(self) -> Iterator[int]:
        while True:
            yield int(torch.randint(len(SUMS), ()))

    def __len__(self) -> int:
        return 10**9


def fit(module: lightning.LightningModule, turns: Turns, **settings: Any) -> None:
    trainer(turns, **settings).fit(
        module, DataLoader(SUMS, batch_size=16), DataLoader(SUMS, batch_size=64)
    )


def trainer(turns: Turns, **settings: Any) -> lightning.Trainer:
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    return lightning.Trainer(
        **{"accelerator": "cpu", "max_epochs": -1, "callbacks": [turns], **quiet, **settings}
    )


def descend(session: ramet.Session) -> None:
    torch.set_num_threads(1)
    ramet.torch.seed(session.seed)
    net = Net()
    turns = Turns(session, monitor="val_loss", bind={"dropout": (net.dropout, "p")})
    trainer(turns).fit(
        net, DataLoader(SUMS, batch_size=16, sampler=Drawn()), DataLoader(SUMS, batch_size=64)
    )
