"""A small network that learns to classify images, in JAX, by one of several ways to descend."""

from typing import Any

import jax
from jax import numpy as jnp

from experiments.fashion_mnist import CLASSES, Images

HIDDEN = 64
MOMENTUM = 0.9


class Classifier:
    """A network with one hidden layer that learns by SGD with momentum.

    Its hyperparameter is ``lr``.

    Args:
        train: The images that it learns from.
        score: Those that it is scored by.
        batch: How many images a step takes.
    """

    def __init__(self, train: Images, score: Images, batch: int) -> None:
        self._pixels, self._labels = flatten(train), jnp.asarray(train.labels)
        self._score, self._batch = score, batch

    def init(self, key: Any) -> Any:
        """Return a first state."""
        keys, inputs = jax.random.split(key), self._pixels.shape[1]
        params = {
            "in": jax.random.normal(keys[0], (inputs, HIDDEN)) * (2 / inputs) ** 0.5,
            "in_bias": jnp.zeros(HIDDEN),
            "out": jax.random.normal(keys[1], (HIDDEN, CLASSES)) * HIDDEN**-0.5,
            "out_bias": jnp.zeros(CLASSES),
        }
        return self.begin(params)

    def step(self, state: Any, hparams: Any, steps: int, key: Any) -> Any:
        """Train for some steps."""

        def one(nth: Any, state: Any) -> Any:
            at = jax.random.fold_in(key, nth)
            batch = jax.random.randint(at, (self._batch,), 0, len(self._labels))
            return self.descend(state, hparams["lr"], self._pixels[batch], self._labels[batch])

        return jax.lax.fori_loop(0, steps, one, state)

    def evaluate(self, state: Any) -> Any:
        """Return the accuracy on the images that score."""
        return accuracy(state["params"], self._score)

    def begin(self, params: Any) -> Any:
        """Return the state before the first step."""
        return {"params": params, "velocity": jax.tree.map(jnp.zeros_like, params)}

    def descend(self, state: Any, lr: Any, pixels: Any, labels: Any) -> Any:
        """Return the state after a step."""
        slopes = jax.grad(_loss)(state["params"], pixels, labels)
        velocity = jax.tree.map(lambda v, s: MOMENTUM * v - s, state["velocity"], slopes)
        params = jax.tree.map(lambda w, v: w + lr * v, state["params"], velocity)
        return {"params": params, "velocity": velocity}


class ScheduleFree(Classifier):
    """The same by SGD that needs no schedule (Schedule-Free; Defazio et al., 2024, 2405.15682).

    Gradients are taken between the mean of all iterates, which is scored, and the latest iterate.
    """

    def begin(self, params: Any) -> Any:
        """Return the state before the first step."""
        return {"params": params, "latest": params, "steps": jnp.zeros((), jnp.int32)}

    def descend(self, state: Any, lr: Any, pixels: Any, labels: Any) -> Any:
        """Return the state after a step."""
        steps, mean, latest = state["steps"] + 1, state["params"], state["latest"]
        between = jax.tree.map(lambda x, z: MOMENTUM * x + (1 - MOMENTUM) * z, mean, latest)
        slopes = jax.grad(_loss)(between, pixels, labels)
        latest = jax.tree.map(lambda z, s: z - lr * s, latest, slopes)
        mean = jax.tree.map(lambda x, z: x + (z - x) / steps, mean, latest)
        return {"params": mean, "latest": latest, "steps": steps}


def accuracy(params: Any, images: Images) -> Any:
    """Return the part of the images that is classified correctly."""
    found = _outputs(params, flatten(images)).argmax(axis=1)
    return (found == images.labels).mean()


def flatten(images: Images) -> Any:
    """Return the pixels of each image as a row."""
    return jnp.asarray(images.pixels.reshape(len(images.pixels), -1))


def _outputs(params: Any, pixels: Any) -> Any:
    hidden = jax.nn.relu(pixels @ params["in"] + params["in_bias"])
    return hidden @ params["out"] + params["out_bias"]


def _loss(params: Any, pixels: Any, labels: Any) -> Any:
    odds = jax.nn.log_softmax(_outputs(params, pixels))
    return -jnp.take_along_axis(odds, labels[:, None], axis=1).mean()
