"""A network that classifies small images, in NumPy, and four ways to train it.

All weights are one vector, and so is the state of each way to descend. A step takes some tens of
microseconds, and any process can train it: a worker of Ray as well as ramet.
"""

import functools
import math
from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

import ramet
from experiments import fashion_mnist
from experiments.fashion_mnist import CLASSES, TRAINING, Images

Vector: TypeAlias = NDArray[np.float32]
State: TypeAlias = Mapping[str, Any]

SIDE, HIDDEN, BATCH = 7, 32, 16
INPUTS = SIDE * SIDE
INNER = INPUTS * HIDDEN
WEIGHTS = INNER + HIDDEN + HIDDEN * CLASSES + CLASSES
# The part of the training images with labels that were drawn anew, and the seed of these.
DRAWN_LABELS, LABELS_SEED = 0.4, 0
MOMENTUM = 0.9
ONE_HOT = np.eye(CLASSES, dtype=np.float32)


@functools.cache
def load() -> tuple[Images, Images, Images]:
    """Return the images that train, those that score, and those that test."""
    images = fashion_mnist.load("train", side=SIDE)
    drawn = fashion_mnist.draw_labels(images, DRAWN_LABELS, seed=LABELS_SEED)
    parts = drawn.split(TRAINING)[0], images.split(TRAINING)[1], fashion_mnist.load("t10k", side=7)
    train, score, test = (Images(part.pixels.reshape(-1, INPUTS), part.labels) for part in parts)
    return train, score, test


class Momentum:
    """SGD with momentum. Its hyperparameters are ``lr`` and ``decay``, which is of the weights."""

    def init(self, rng: np.random.Generator) -> State:
        """Return a first state."""
        weights = np.zeros(WEIGHTS, np.float32)
        inner, _, outer, _ = split(weights)
        inner[:] = rng.normal(0.0, (2 / INPUTS) ** 0.5, inner.shape)
        outer[:] = rng.normal(0.0, HIDDEN**-0.5, outer.shape)
        return self.begin(weights)

    def step(self, state: State, hparams: Mapping[str, Any], steps: int, rng: Any) -> State:
        """Train for some steps."""
        train, _, _ = load()
        after = {name: np.copy(value) for name, value in state.items()}
        batches = rng.integers(0, len(train.labels), (steps, BATCH))
        lr, decay = float(hparams["lr"]), float(hparams["decay"])
        # Rates that are too high diverge, and score as badly as they should.
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            for batch in batches:
                self.descend(after, lr, decay, train.pixels[batch], train.labels[batch])
        return after

    def evaluate(self, state: State) -> float:
        """Return the accuracy on the images that score."""
        return accuracy(state["weights"], load()[1])

    def begin(self, weights: Vector) -> dict[str, Any]:
        """Return the state before the first step."""
        return {"weights": weights, "velocity": np.zeros_like(weights)}

    def descend(
        self, state: dict[str, Any], lr: float, decay: float, pixels: Any, labels: Any
    ) -> None:
        """Make a step, in place."""
        weights, velocity = state["weights"], state["velocity"]
        velocity *= MOMENTUM
        velocity -= find_slopes(weights, pixels, labels) + decay * weights
        weights += lr * velocity


class Averaged(Momentum):
    """SGD with momentum, of which a running average of the weights is scored."""

    AVERAGE = ramet.PolynomialAverage(power=8)

    def begin(self, weights: Vector) -> dict[str, Any]:
        """Return the state before the first step."""
        before = super().begin(np.copy(weights))
        return {**before, "weights": weights, "latest": before["weights"], "steps": np.zeros(())}

    def descend(
        self, state: dict[str, Any], lr: float, decay: float, pixels: Any, labels: Any
    ) -> None:
        """Make a step, in place."""
        mean, latest = state["weights"], state["latest"]
        super().descend({**state, "weights": latest}, lr, decay, pixels, labels)
        steps = float(state["steps"]) + 1
        mean += self.AVERAGE.share(steps) * (latest - mean)
        state["steps"] = np.array(steps)


class ScheduleFree(Momentum):
    """SGD that needs no schedule (Defazio et al., 2024, arXiv 2405.15682).

    Gradients are taken between the mean of all iterates, which is scored, and the latest iterate.
    """

    WARMUP_STEPS = 200

    def begin(self, weights: Vector) -> dict[str, Any]:
        """Return the state before the first step."""
        zero = np.zeros(())
        return {"weights": weights, "latest": np.copy(weights), "steps": zero, "sum": zero}

    def descend(
        self, state: dict[str, Any], lr: float, decay: float, pixels: Any, labels: Any
    ) -> None:
        """Make a step, in place."""
        mean, latest = state["weights"], state["latest"]
        steps = float(state["steps"]) + 1
        rate = lr * min(1.0, steps / self.WARMUP_STEPS)
        between = MOMENTUM * mean + (1 - MOMENTUM) * latest
        latest -= rate * (find_slopes(between, pixels, labels) + decay * between)
        # Iterates of the warm-up count less.
        total = float(state["sum"]) + rate**2
        mean += rate**2 / total * (latest - mean)
        state["steps"], state["sum"] = np.array(steps), np.array(total)


class Prodigy(Momentum):
    """Adam that estimates its own rate (Mishchenko & Defazio, 2023, arXiv 2306.06101).

    ``lr`` multiplies the estimate; 1 is its authors' choice, with a cosine to zero.
    """

    BETAS = 0.9, 0.999
    FIRST, TINY = 1e-6, 1e-8

    def begin(self, weights: Vector) -> dict[str, Any]:
        """Return the state before the first step."""
        nothing = {name: np.zeros_like(weights) for name in ("mean", "square", "sum")}
        estimate = {"distance": np.array(self.FIRST), "numerator": np.zeros(())}
        return {"weights": weights, "first": np.copy(weights), **nothing, **estimate}

    def descend(
        self, state: dict[str, Any], lr: float, decay: float, pixels: Any, labels: Any
    ) -> None:
        """Make a step, in place."""
        weights, mean, square, total = (
            state[name] for name in ("weights", "mean", "square", "sum")
        )
        (slow, slower), distance = self.BETAS, float(state["distance"])
        slopes, rate = find_slopes(weights, pixels, labels), distance * lr
        kept, share = math.sqrt(slower), distance / self.FIRST * rate
        towards = float(slopes @ (state["first"] - weights))
        numerator = kept * float(state["numerator"]) + share * towards
        mean += (slow - 1) * mean + distance * (1 - slow) * slopes
        square += (slower - 1) * square + distance**2 * (1 - slower) * slopes**2
        total += (kept - 1) * total + share * slopes
        if (size := float(np.abs(total).sum())) > 0:
            distance = max(distance, numerator / size)
        weights -= rate * decay * weights + rate * mean / (np.sqrt(square) + distance * self.TINY)
        state["distance"], state["numerator"] = np.array(distance), np.array(numerator)


def find_slopes(weights: Vector, pixels: Any, labels: Any) -> Vector:
    """Return the gradient of the mean cross-entropy."""
    inner, inner_bias, outer, outer_bias = split(weights)
    hidden = np.maximum(pixels @ inner + inner_bias, 0)
    outputs = hidden @ outer + outer_bias
    odds = np.exp(outputs - outputs.max(axis=1, keepdims=True))
    odds /= odds.sum(axis=1, keepdims=True)
    odds -= ONE_HOT[labels]
    odds /= len(labels)
    behind = (odds @ outer.T) * (hidden > 0)
    slopes = np.empty_like(weights)
    parts = split(slopes)
    parts[0][:], parts[1][:] = pixels.T @ behind, behind.sum(axis=0)
    parts[2][:], parts[3][:] = hidden.T @ odds, odds.sum(axis=0)
    return slopes


def accuracy(weights: Vector, images: Images) -> float:
    """Return the part of the images that is classified correctly."""
    inner, inner_bias, outer, outer_bias = split(weights)
    with np.errstate(over="ignore", invalid="ignore"):
        outputs = np.maximum(images.pixels @ inner + inner_bias, 0) @ outer + outer_bias
    return float((outputs.argmax(axis=1) == images.labels).mean())


def split(weights: Vector) -> tuple[Vector, Vector, Vector, Vector]:
    """Return views of the weights of both layers, each with its biases behind it."""
    inner, outer = weights[:INNER], weights[INNER + HIDDEN : -CLASSES]
    return (
        inner.reshape(INPUTS, HIDDEN),
        weights[INNER : INNER + HIDDEN],
        outer.reshape(HIDDEN, CLASSES),
        weights[-CLASSES:],
    )
