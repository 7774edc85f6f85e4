"""A network that classifies handwritten digits, trained by Lightning as a population.

    python examples/lightning_digits.py      # needs lightning and scikit-learn

The module and the Trainer are as for any other training, except for ``Turns`` in the callbacks.
"""

import logging
import warnings

import lightning
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import ramet
import ramet.torch
from ramet.integrations.lightning import Turns

images, labels = load_digits(return_X_y=True)
order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
inputs = torch.tensor(images / 16, dtype=torch.float32)[order]
digits = torch.tensor(labels)[order]
learn, score, test = (
    TensorDataset(inputs[part], digits[part])
    for part in (slice(0, 1_000), slice(1_000, 1_400), slice(1_400, None))
)


class Reader(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.dropout = nn.Dropout(0.2)
        self.layers = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), self.dropout, nn.Linear(64, 10))

    def forward(self, x):
        return self.layers(x)

    def training_step(self, batch, batch_idx):
        x, y = batch
        return nn.functional.cross_entropy(self(x), y)

    def validation_step(self, batch, batch_idx):
        x, y = batch
        self.log("val_acc", (self(x).argmax(dim=1) == y).float().mean())

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9)


def train(session):
    ramet.torch.seed(session.seed)
    reader = Reader()
    turns = Turns(session, monitor="val_acc", bind={"dropout": ramet.torch.dropout(reader)})
    trainer = lightning.Trainer(
        max_epochs=-1,  # the callback stops it
        callbacks=[turns],
        accelerator="cpu",
        devices=1,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(
        reader,
        DataLoader(learn, batch_size=32, shuffle=True),
        DataLoader(score, batch_size=400),
    )


def main():
    space = ramet.Space(
        lr=ramet.LogUniform(1e-3, 1.0),
        momentum=ramet.Uniform(0.0, 0.99),
        dropout=ramet.Uniform(0.0, 0.6),
    )
    strategy = ramet.PBT(population=8, turn_steps=50, synchronous=True)
    result = ramet.run(train, space, strategy, steps=500, mode="max", seed=0)

    reader = Reader().eval()
    ramet.torch.load_model(reader, result.best.load())
    x, y = test.tensors
    accuracy = (reader(x).argmax(dim=1) == y).float().mean()
    print(f"{accuracy:.1%} of the test digits are classified correctly")
    for step, hparams in result.schedule():
        print(f"from step {step}: {', '.join(f'{k} = {v:.2g}' for k, v in hparams.items())}")


if __name__ == "__main__":
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module="lightning")
    torch.set_num_threads(1)  # a small network is slower with more threads
    main()
