"""A convolutional network that classifies images of digits. Needs scikit-learn.

    python examples/pytorch_mnist.py
    python examples/pytorch_mnist.py --workers 2 --store runs.db  # run it again to go on

A step is an epoch. The loader, the network, Adadelta and StepLR are as for any other training. The
population explores the first learning rate, the factor by which it falls, and both dropouts.
"""

import argparse

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset, random_split

import ramet
import ramet.torch

torch.set_num_threads(1)  # Networks this small are no faster with more threads.


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, kernel_size=3, padding=1)
        self.conv2 = nn.Conv2d(16, 32, kernel_size=3, padding=1)
        self.dropout1 = nn.Dropout(0.25)
        self.dropout2 = nn.Dropout(0.5)
        self.fc1 = nn.Linear(32 * 4 * 4, 64)
        self.fc2 = nn.Linear(64, 10)

    def forward(self, images):
        x = functional.relu(self.conv1(images))
        x = functional.relu(self.conv2(x))
        x = self.dropout1(functional.max_pool2d(x, 2))
        x = functional.relu(self.fc1(x.flatten(1)))
        return self.fc2(self.dropout2(x))


def datasets():
    images, labels = map(torch.as_tensor, load_digits(return_X_y=True))
    images = images.float().view(-1, 1, 8, 8) / 16
    return random_split(
        TensorDataset((images - images.mean()) / images.std(), labels),
        [1_000, 400, 397],
        generator=torch.Generator().manual_seed(0),
    )


def train_epoch(model, loader, optimizer):
    model.train()
    for images, labels in loader:
        optimizer.zero_grad()
        functional.cross_entropy(model(images), labels).backward()
        optimizer.step()


@torch.no_grad()
def evaluate(model, loader):
    """Return the mean loss and the fraction of the images that are classified correctly."""
    model.eval()
    loss, correct = 0.0, 0
    for images, labels in loader:
        logits = model(images)
        loss += functional.cross_entropy(logits, labels, reduction="sum").item()
        correct += (logits.argmax(dim=1) == labels).sum().item()
    return loss / len(loader.dataset), correct / len(loader.dataset)


def main():
    parser = argparse.ArgumentParser(description="digits, trained by a population")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=14)
    parser.add_argument("--population", type=int, default=6)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--store")
    args = parser.parse_args()

    training, validation, testing = datasets()

    def train(session):
        ramet.torch.seed(session.seed)
        model = Net()
        optimizer = torch.optim.Adadelta(model.parameters(), lr=1.0)
        scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.7)
        loader = DataLoader(training, batch_size=args.batch_size, shuffle=True)
        state = ramet.torch.State(
            model,
            optimizer,
            scheduler,
            bind={
                "lr": ramet.torch.base_lr(scheduler),
                "gamma": (scheduler, "gamma"),
                "dropout1": (model.dropout1, "p"),
                "dropout2": (model.dropout2, "p"),
            },
        )
        for turn in session.turns(state):
            for _ in turn:
                train_epoch(model, loader, optimizer)
                scheduler.step()
            loss, _ = evaluate(model, DataLoader(validation, batch_size=400))
            turn.report(loss)

    result = ramet.run(
        train,
        ramet.Space(
            lr=ramet.LogUniform(0.01, 3.0),
            gamma=ramet.Uniform(0.5, 1.0),
            dropout1=ramet.Uniform(0.0, 0.5),
            dropout2=ramet.Uniform(0.0, 0.7),
        ),
        ramet.PBT(population=args.population, turn_steps=1, synchronous=True),
        steps=args.epochs,
        mode="min",
        seed=args.seed,
        workers=args.workers,
        store=args.store,
        name="pytorch_mnist",
    )

    model = Net()
    ramet.torch.load_model(model, result.best.load())
    _, accuracy = evaluate(model, DataLoader(testing, batch_size=400))
    print(f"{accuracy:.1%} of the test images are classified correctly")
    for step, hparams in result.schedule():
        print(f"from epoch {step}: {', '.join(f'{k} = {v:.3g}' for k, v in hparams.items())}")


if __name__ == "__main__":
    main()
