"""The training of `ramet demo`: a small PyTorch network on scikit-learn's handwritten digits."""

import itertools
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy

import ramet.torch
from ramet.domains import LogUniform
from ramet.engine.launch import run
from ramet.engine.workers.session import Session
from ramet.history import Result
from ramet.schedule import Schedule
from ramet.space import Space
from ramet.state import Tree
from ramet.strategies import Strategy

SIDE, HIDDEN, CLASSES = 8, 64, 10
# A batch this small makes noisy steps. A lower learning rate improves the score at once, but
# slows learning: greedy strategies lower it too early.
BATCH = 8
MOMENTUM, WEIGHT_DECAY = 0.9, 3e-3

TRAIN, VALIDATION = 600, 600

# Members start far above and below the best constant, which is about 0.02.
SPACE = Space(lr=LogUniform(1e-4, 1.0, start=(1e-3, 0.3)))


class Labelled(NamedTuple):
    """Images as rows of values from 0 to 1, and the digits that they show."""

    images: torch.Tensor
    labels: torch.Tensor


class Digits(NamedTuple):
    """The data set in three parts: for training, for scores, and for one test at the end."""

    train: Labelled
    validation: Labelled
    test: Labelled


class Found(NamedTuple):
    """The best network that a strategy found."""

    # The mean cross entropy on the validation images.
    loss: float
    # The number of test images that it recognises.
    recognised: int
    schedule: Schedule


def load(seed: int) -> Digits:
    """Return scikit-learn's digits, divided into parts at random by the seed."""
    from sklearn.datasets import load_digits  # noqa: PLC0415 - slow, and no worker needs it

    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(images))
    parts = np.split(order, [TRAIN, TRAIN + VALIDATION])
    scaled = (images / images.max()).astype(np.float32)
    train, validation, test = (
        Labelled(torch.from_numpy(scaled[part]), torch.from_numpy(labels[part])) for part in parts
    )
    return Digits(train, validation, test)


def compete(
    strategy: Strategy,
    digits: Digits,
    *,
    name: str,
    steps: int,
    seed: int,
    workers: int = 0,
    store: str | Path | None = None,
) -> Result:
    """Train a population; with the same seed, all strategies get the same first weights."""
    return run(
        partial(train, digits),
        SPACE,
        strategy,
        name=name,
        steps=steps,
        seed=seed,
        workers=workers,
        store=store,
        mode="min",
    )


def best_of(result: Result, digits: Digits) -> Found:
    """Test the network with the lowest validation loss, and return it with its schedule."""
    winner = result.best
    return Found(winner.score, count_recognised(winner.load(), digits.test), result.schedule())


def train(digits: Digits, session: Session) -> None:
    """Train in an ordinary loop; ramet provides the turns and keeps the state."""
    torch.set_num_threads(1)
    torch.manual_seed(session.seed)
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), momentum=MOMENTUM, weight_decay=WEIGHT_DECAY)
    images, labels = shift_images(digits.train)
    for turn in session.turns(ramet.torch.State(model, optimizer)):
        for _ in turn:
            batch = torch.randint(len(labels), (BATCH,))
            optimizer.zero_grad()
            error = cross_entropy(model(images[batch]), labels[batch])
            error.backward()  # type: ignore[no-untyped-call]  # of PyTorch
            optimizer.step()
            if turn.evaluation_due:
                turn.report(loss(model, digits.validation))


def shift_images(part: Labelled) -> Labelled:
    """Return nine copies of each image, shifted by up to one pixel."""
    framed = nn.functional.pad(part.images.reshape(-1, SIDE, SIDE), (1, 1, 1, 1))
    ways = list(itertools.product(range(3), repeat=2))
    copies = [framed[:, y : y + SIDE, x : x + SIDE].flatten(1) for y, x in ways]
    return Labelled(torch.cat(copies), part.labels.repeat(len(ways)))


def network() -> nn.Module:
    """Return an untrained network of one hidden layer."""
    return nn.Sequential(nn.Linear(SIDE * SIDE, HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, CLASSES))


@torch.no_grad()
def loss(model: nn.Module, part: Labelled) -> float:
    """Return the mean cross entropy; it is not finite if weights overflowed."""
    return cross_entropy(model(part.images), part.labels).item()


@torch.no_grad()
def count_recognised(saved: Tree, part: Labelled) -> int:
    """Return the number of images that a trained network recognises."""
    model = network()
    ramet.torch.load_model(model, saved)
    return int((model(part.images).argmax(dim=1) == part.labels).sum())
