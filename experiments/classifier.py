"""How a network learns to classify images, in JAX, by one of several ways to descend."""

from typing import Any

import jax
from jax import numpy as jnp

from experiments.fashion_mnist import Images
from experiments.networks import Network

MOMENTUM = 0.9


class Classifier:
    """A network that learns by SGD with momentum.

    Its hyperparameter is ``lr``.

    Args:
        train: The images that it learns from.
        score: Those that it is scored by.
        batch: How many images a step takes.
        network: What learns.
    """

    def __init__(self, train: Images, score: Images, batch: int, network: Network) -> None:
        self.network = network
        self._pixels, self._labels = flatten(train), jnp.asarray(train.labels)
        self._score, self._batch = score, batch

    def init(self, key: Any) -> Any:
        """Return a first state."""
        return self.begin(self.network.init(key, self._pixels.shape[1]))

    def step(self, state: Any, hparams: Any, steps: int, key: Any) -> Any:
        """Train for some steps."""
        # All at once, which takes less time than a few at each step.
        batches = jax.random.randint(key, (steps, self._batch), 0, len(self._labels))

        def one(nth: Any, state: Any) -> Any:
            batch = batches[nth]
            return self.descend(state, hparams["lr"], self._pixels[batch], self._labels[batch])

        return jax.lax.fori_loop(0, steps, one, state)

    def evaluate(self, state: Any) -> Any:
        """Return the accuracy on the images that score."""
        return self.accuracy(state["params"], self._score)

    def accuracy(self, params: Any, images: Images) -> Any:
        """Return the part of the images that is classified correctly."""
        found = self.network.outputs(params, flatten(images)).argmax(axis=1)
        return (found == images.labels).mean()

    def begin(self, params: Any) -> Any:
        """Return the state before the first step."""
        return {"params": params, "velocity": jax.tree.map(jnp.zeros_like, params)}

    def descend(self, state: Any, lr: Any, pixels: Any, labels: Any) -> Any:
        """Return the state after a step."""
        slopes = jax.grad(self._loss)(state["params"], pixels, labels)
        velocity = jax.tree.map(lambda v, s: MOMENTUM * v - s, state["velocity"], slopes)
        params = jax.tree.map(lambda w, v: w + lr * v, state["params"], velocity)
        return {"params": params, "velocity": velocity}

    def _loss(self, params: Any, pixels: Any, labels: Any) -> Any:
        odds = jax.nn.log_softmax(self.network.outputs(params, pixels))
        return -jnp.take_along_axis(odds, labels[:, None], axis=1).mean()


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
        slopes = jax.grad(self._loss)(between, pixels, labels)
        latest = jax.tree.map(lambda z, s: z - lr * s, latest, slopes)
        mean = jax.tree.map(lambda x, z: x + (z - x) / steps, mean, latest)
        return {"params": mean, "latest": latest, "steps": steps}


def flatten(images: Images) -> Any:
    """Return the pixels of each image as a row."""
    return jnp.asarray(images.pixels.reshape(len(images.pixels), -1))
