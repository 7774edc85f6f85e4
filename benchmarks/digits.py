"""The network of `ramet demo` in NumPy, which trains small batches several times faster.

One hidden layer classifies scikit-learn's handwritten digits. Batches of eight make noisy steps: a
lower learning rate improves the score at once, but slows learning.
"""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

import ramet

Floats: TypeAlias = NDArray[np.float32]
Labels: TypeAlias = NDArray[np.int64]

SIDE, HIDDEN, CLASSES = 8, 64, 10
BATCH = 8
MOMENTUM, WEIGHT_DECAY = 0.9, 3e-3
TRAIN, VALIDATION = 600, 600
# As in the demo. The best constant is about 0.02.
DIGITS_SPACE = ramet.Space(lr=ramet.LogUniform(1e-4, 1.0, start=(1e-3, 0.3)))
# Where each part of the parameters lies in one vector of them all.
SHAPES = {"w1": (SIDE * SIDE, HIDDEN), "b1": (HIDDEN,), "w2": (HIDDEN, CLASSES), "b2": (CLASSES,)}
# What IPBT's paper keeps of trained parameters, and adds of fresh ones.
KEPT, ADDED = 0.2, 0.1


class Part(NamedTuple):
    """Images as rows of values from 0 to 1, and the digits that they show."""

    images: Floats
    labels: Labels


@dataclass(frozen=True, slots=True)
class Digits:
    """A task: the score is minus the mean cross entropy on the validation images."""

    # Divides the data set into parts.
    seed: int

    def init(self, rng: np.random.Generator) -> dict[str, Any]:
        parts = []
        for name, shape in SHAPES.items():
            inputs = SIDE * SIDE if name.endswith("1") else HIDDEN
            parts.append(rng.uniform(-1, 1, int(np.prod(shape))) / inputs**0.5)
        weights = np.concatenate(parts).astype(np.float32)
        return {"weights": weights, "momentum": np.zeros_like(weights)}

    def step(
        self,
        state: Mapping[str, Any],
        hparams: Mapping[str, Any],
        steps: int,
        rng: np.random.Generator,
    ) -> dict[str, Any]:
        images, labels = load(self.seed)[0]
        weights, momentum = state["weights"].copy(), state["momentum"].copy()
        gradients = np.empty_like(weights)
        its, slopes = _parts(weights), _parts(gradients)
        rows = np.arange(BATCH)
        # Rates that are too high diverge.
        with np.errstate(over="ignore", invalid="ignore"):
            for batch in rng.integers(len(labels), size=(steps, BATCH)):
                seen = images[batch]
                hidden = np.tanh(seen @ its["w1"] + its["b1"])
                errors = _softmax(hidden @ its["w2"] + its["b2"])
                errors[rows, labels[batch]] -= 1
                errors /= BATCH
                np.matmul(hidden.T, errors, out=slopes["w2"])
                errors.sum(axis=0, out=slopes["b2"])
                below = (errors @ its["w2"].T) * (1 - hidden * hidden)
                np.matmul(seen.T, below, out=slopes["w1"])
                below.sum(axis=0, out=slopes["b1"])
                gradients += np.float32(WEIGHT_DECAY) * weights
                momentum *= np.float32(MOMENTUM)
                momentum += gradients
                weights -= np.float32(hparams["lr"]) * momentum
        return {"weights": weights, "momentum": momentum}

    def evaluate(self, state: Mapping[str, Any]) -> float:
        part = load(self.seed)[1]
        with np.errstate(all="ignore"):
            chances = _softmax(_logits(state["weights"], part.images))
            likely = np.log(chances[np.arange(len(part.labels)), part.labels])
            return float(likely.mean(dtype=np.float64))

    def renew(self, state: Mapping[str, Any], fresh: Mapping[str, Any]) -> dict[str, Any]:
        """Shrink the parameters and add fresh ones; the momentum begins anew."""
        weights = np.float32(KEPT) * state["weights"] + np.float32(ADDED) * fresh["weights"]
        return {**fresh, "weights": weights}

    def count_wrong(self, state: Mapping[str, Any]) -> int:
        """Return how many of the test images a network classifies wrongly.

        Args:
            state: What ``init`` or ``step`` returned.
        """
        part = load(self.seed)[2]
        return int((_logits(state["weights"], part.images).argmax(axis=1) != part.labels).sum())

    @property
    def tests(self) -> int:
        """How many test images there are."""
        return len(load(self.seed)[2].labels)


@lru_cache(maxsize=2)
def load(seed: int) -> tuple[Part, Part, Part]:
    """Return the data for training, for scores and for the test at the end, divided by a seed."""
    from sklearn.datasets import load_digits  # noqa: PLC0415 - slow, and only this task needs it

    images: Any
    labels: Any
    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(images))
    scaled = (images / images.max()).astype(np.float32)
    train, validation, test = (
        Part(scaled[part], labels[part]) for part in np.split(order, [TRAIN, TRAIN + VALIDATION])
    )
    return _shift(train), validation, test


def _shift(part: Part) -> Part:
    """Return nine copies of each image, shifted by up to one pixel."""
    framed = np.pad(part.images.reshape(-1, SIDE, SIDE), ((0, 0), (1, 1), (1, 1)))
    copies = [
        framed[:, y : y + SIDE, x : x + SIDE].reshape(-1, SIDE * SIDE)
        for y, x in itertools.product(range(3), repeat=2)
    ]
    return Part(np.concatenate(copies), np.tile(part.labels, len(copies)))


def _parts(weights: Floats) -> dict[str, Floats]:
    """Return views of the parts of a vector of parameters."""
    ends = np.cumsum([int(np.prod(shape)) for shape in SHAPES.values()])
    pieces = np.split(weights, ends[:-1])
    return {
        name: piece.reshape(shape)
        for (name, shape), piece in zip(SHAPES.items(), pieces, strict=True)
    }


def _logits(weights: Floats, images: Floats) -> Floats:
    its = _parts(weights)
    logits: Floats = np.tanh(images @ its["w1"] + its["b1"]) @ its["w2"] + its["b2"]
    return logits


def _softmax(logits: Floats) -> Floats:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    chances: Floats = powers / powers.sum(axis=1, keepdims=True)
    return chances
