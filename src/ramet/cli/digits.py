"""What `ramet demo` trains: a small network, in NumPy, on scikit-learn's handwritten digits."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ramet.domains import LogUniform, Uniform
from ramet.errors import UsageError
from ramet.space import Space

Arrays = dict[str, np.ndarray]
# What hidden units are multiplied by: a value each while dropout is at work, 1 afterwards.
Mask = np.ndarray | np.float32

PIXELS, HIDDEN, CLASSES = 64, 64, 10
BATCH = 32
MOMENTUM = 0.9

# Few images to learn from, so that regularisation has something to do.
TRAIN, VALIDATION = 600, 600

SPACE = Space(
    lr=LogUniform(1e-4, 1.0),
    dropout=Uniform(0.0, 0.8),
    weight_decay=LogUniform(1e-6, 1e-1),
    # The part of the images that are moved by up to a pixel before they are learnt from.
    shift=Uniform(0.0, 1.0),
)


class Labelled(NamedTuple):
    """Images, a row each with values from 0 to 1, and the digits they show."""

    images: np.ndarray
    labels: np.ndarray


class Digits(NamedTuple):
    """The data set in three parts: to learn from, to score by, and to look at once, at the end."""

    train: Labelled
    validation: Labelled
    test: Labelled
    # The training images moved by up to a pixel each way: nine copies, the one in place first.
    moved: np.ndarray


def load() -> Digits:
    """Return scikit-learn's digits, split the same way every time."""
    try:
        from sklearn.datasets import load_digits  # noqa: PLC0415 - an extra, and slow to import
    except ImportError:
        raise UsageError(
            "the demo's data must come from scikit-learn, but it is not installed; "
            "run: pip install 'ramet[demo]'"
        ) from None
    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(images))
    parts = np.split(order, [TRAIN, TRAIN + VALIDATION])
    scaled = (images / 16).astype(np.float32)
    train, validation, test = (Labelled(scaled[part], labels[part]) for part in parts)
    return Digits(train, validation, test, _moved(train.images))


@dataclass(frozen=True, slots=True)
class Network:
    """One hidden layer of rectified units with dropout, trained by SGD with momentum."""

    digits: Digits

    def init(self, rng: np.random.Generator) -> dict[str, Arrays]:
        params = {
            "w1": _weights(PIXELS, HIDDEN, rng),
            "b1": np.zeros(HIDDEN, np.float32),
            "w2": _weights(HIDDEN, CLASSES, rng),
            "b2": np.zeros(CLASSES, np.float32),
        }
        momentum = {name: np.zeros_like(values) for name, values in params.items()}
        return {"params": params, "momentum": momentum}

    def step(
        self,
        state: dict[str, Arrays],
        hparams: Mapping[str, Any],
        steps: int,
        rng: np.random.Generator,
    ) -> dict[str, Arrays]:
        lr, decay = hparams["lr"], hparams["weight_decay"]
        labels = self.digits.train.labels
        params, momentum = _copied(state["params"]), _copied(state["momentum"])
        # Too high a learning rate lets weights overflow, which is that member's loss and no error.
        with np.errstate(over="ignore", invalid="ignore"):
            for batch in rng.integers(len(labels), size=(steps, BATCH)):
                images = self.digits.moved[_ways(hparams["shift"], rng), batch]
                mask = _dropout_mask(hparams["dropout"], rng)
                slopes = gradients(params, Labelled(images, labels[batch]), mask)
                for name, slope in slopes.items():
                    momentum[name] *= MOMENTUM
                    momentum[name] += slope + decay * params[name]
                    params[name] -= lr * momentum[name]
        return {"params": params, "momentum": momentum}

    def evaluate(self, state: dict[str, Arrays]) -> float:
        return loss(state["params"], self.digits.validation)


def loss(params: Arrays, data: Labelled) -> float:
    """Return the mean cross entropy, which is not finite where weights overflowed."""
    with np.errstate(over="ignore", invalid="ignore"):
        return cross_entropy(params, data, np.float32(1))


def accuracy(params: Arrays, data: Labelled) -> float:
    """Return the part of the images that are recognised."""
    _, log_odds = _forward(params, data.images, np.float32(1))
    return float((log_odds.argmax(axis=1) == data.labels).mean())


def cross_entropy(params: Arrays, data: Labelled, mask: Mask) -> float:
    """Return the mean loss, which `gradients` are the slopes of."""
    _, log_odds = _forward(params, data.images, mask)
    return -float(log_odds[np.arange(len(data.labels)), data.labels].mean())


def gradients(params: Arrays, data: Labelled, mask: Mask) -> Arrays:
    """Return the slope of the mean cross entropy in each parameter."""
    hidden, log_odds = _forward(params, data.images, mask)
    error = np.exp(log_odds)
    error[np.arange(len(data.labels)), data.labels] -= 1
    error /= len(data.labels)
    behind = (error @ params["w2"].T) * mask * (hidden > 0)
    return {
        "w1": data.images.T @ behind,
        "b1": behind.sum(axis=0),
        "w2": hidden.T @ error,
        "b2": error.sum(axis=0),
    }


def _forward(params: Arrays, images: np.ndarray, mask: Mask) -> tuple[np.ndarray, np.ndarray]:
    """Return the hidden units, and the logarithm of each digit's probability."""
    hidden = np.maximum(images @ params["w1"] + params["b1"], 0) * mask
    logits = hidden @ params["w2"] + params["b2"]
    logits -= logits.max(axis=1, keepdims=True)
    return hidden, logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))


def _copied(arrays: Arrays) -> Arrays:
    return {name: values.copy() for name, values in arrays.items()}


def _weights(rows: int, columns: int, rng: np.random.Generator) -> np.ndarray:
    return rng.normal(0.0, np.sqrt(2 / rows), (rows, columns)).astype(np.float32)


def _moved(images: np.ndarray) -> np.ndarray:
    framed = np.pad(images.reshape(-1, 8, 8), ((0, 0), (1, 1), (1, 1)))
    ways = sorted(itertools.product(range(3), repeat=2), key=lambda way: way != (1, 1))
    return np.stack([framed[:, y : y + 8, x : x + 8].reshape(-1, PIXELS) for y, x in ways])


def _ways(shift: float, rng: np.random.Generator) -> np.ndarray:
    """Draw which way each image of a batch is moved: with the rest of the odds, it stays."""
    return rng.integers(9, size=BATCH) * (rng.random(BATCH) < shift)


def _dropout_mask(dropout: float, rng: np.random.Generator) -> np.ndarray:
    """Return what to multiply a batch's hidden units by: 0, or what makes up for the zeros."""
    kept = rng.random((BATCH, HIDDEN), dtype=np.float32) >= dropout
    return kept * np.float32(1 / (1 - dropout))
