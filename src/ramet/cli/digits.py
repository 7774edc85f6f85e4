"""What `ramet demo` trains: a small PyTorch network on scikit-learn's handwritten digits."""

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
# So few images a step are noise, which a lower learning rate rids the score of at once: what greed
# falls for, and pays for later.
BATCH = 8
MOMENTUM, WEIGHT_DECAY = 0.9, 3e-3

TRAIN, VALIDATION = 600, 600

# Members start far on either side of the best constant, which would be about 0.02.
SPACE = Space(lr=LogUniform(1e-4, 1.0, start=(1e-3, 0.3)))


class Labelled(NamedTuple):
    """Images, a row each with values from 0 to 1, and the digits they show."""

    images: torch.Tensor
    labels: torch.Tensor


class Digits(NamedTuple):
    """The data set in three parts: to learn from, to score by, and to look at once, at the end."""

    train: Labelled
    validation: Labelled
    test: Labelled


class Found(NamedTuple):
    """The best that a strategy came to."""

    # The mean cross entropy of the images that members are scored by.
    loss: float
    # How many of the test images are recognised.
    recognised: int
    schedule: Schedule


def load(seed: int) -> Digits:
    """Return scikit-learn's digits, of which the seed says which are in what part."""
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
    store: Path | None = None,
) -> Result:
    """Train a population; one seed gives every strategy the same first weights."""
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
    """Return what the network with the lowest validation loss can do, and was trained with."""
    winner = result.best
    return Found(winner.score, recognised(winner.load(), digits.test), result.schedule())


def train(digits: Digits, session: Session) -> None:
    """Train in an ordinary loop, of which the member, its turns and its state are ramet's."""
    torch.set_num_threads(1)
    torch.manual_seed(session.seed)
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), momentum=MOMENTUM, weight_decay=WEIGHT_DECAY)
    images, labels = moved(digits.train)
    for turn in session.turns(ramet.torch.State(model, optimizer)):
        for _ in turn:
            batch = torch.randint(len(labels), (BATCH,))
            optimizer.zero_grad()
            error = cross_entropy(model(images[batch]), labels[batch])
            error.backward()  # type: ignore[no-untyped-call]  # of PyTorch
            optimizer.step()
            if turn.evaluation_due:
                turn.report(loss(model, digits.validation))


def moved(part: Labelled) -> Labelled:
    """Return nine copies of each image, moved by up to a pixel each way."""
    framed = nn.functional.pad(part.images.reshape(-1, SIDE, SIDE), (1, 1, 1, 1))
    ways = list(itertools.product(range(3), repeat=2))
    copies = [framed[:, y : y + SIDE, x : x + SIDE].flatten(1) for y, x in ways]
    return Labelled(torch.cat(copies), part.labels.repeat(len(ways)))


def network() -> nn.Module:
    """Return an untrained network of one hidden layer."""
    return nn.Sequential(nn.Linear(SIDE * SIDE, HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, CLASSES))


@torch.no_grad()
def loss(model: nn.Module, part: Labelled) -> float:
    """Return the mean cross entropy, which is not finite where weights overflowed."""
    return cross_entropy(model(part.images), part.labels).item()


@torch.no_grad()
def recognised(saved: Tree, part: Labelled) -> int:
    """Return how many images a trained network gives their own digit."""
    model = network()
    ramet.torch.load_model(model, saved)
    return int((model(part.images).argmax(dim=1) == part.labels).sum())
