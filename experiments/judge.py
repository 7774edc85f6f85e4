"""A classifier of Fashion-MNIST, and the Inception score that it gives (Salimans et al., 2016)."""

import functools
import io
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax import numpy as jnp

import ramet.jax
from experiments.fashion_mnist import CLASSES, Images

BATCH, RATE, MOMENTUM = 64, 0.02, 0.9
# Channels of its hidden images, which are 7 by 7 and 4 by 4.
NEAR, FAR = 16, 32
SIDE_AT_END = 4
# So that classes which no image looks like have a logarithm.
TINY = 1e-30


def score_images(judge: Any, images: Any) -> Any:
    """Return the Inception score of images."""
    return score_outputs(_classify(judge, images))


def score_outputs(outputs: Any) -> Any:
    """Return the Inception score, from what a classifier says of each image.

    It is high if images look like one class each, and like all classes together: at least 1, and at
    most the number of classes.
    """
    odds = jax.nn.log_softmax(outputs)
    parts = jnp.exp(odds)
    whole = parts.mean(axis=0)
    return jnp.exp((parts * (odds - jnp.log(whole + TINY))).sum(axis=1).mean())


def measure_accuracy(judge: Any, images: Images) -> float:
    """Return the part of images that a classifier knows."""
    found = jax.jit(_classify)(judge, images.pixels).argmax(axis=1)
    return float((found == images.labels).mean())


def load_judge(path: Path, images: Images, steps: int) -> Any:
    """Return the weights of a classifier, trained for some steps or read from a file.

    Args:
        path: The file, which need not exist yet.
        images: What it is trained on.
        steps: For how many steps.
    """
    if not path.exists():
        whole = io.BytesIO()
        np.savez(whole, **_train(images, steps))
        # A whole file or none.
        beside = path.with_name(f"{path.name}.new")
        beside.write_bytes(whole.getvalue())
        beside.replace(path)
    with np.load(path) as kept:
        return {name: jnp.asarray(kept[name]) for name in kept}


def _train(images: Images, steps: int) -> Any:
    keys = jax.random.split(jax.random.key(0), 4)
    shapes = {
        "near": (3, 3, 1, NEAR),
        "far": (3, 3, NEAR, FAR),
        "dense": (SIDE_AT_END**2 * FAR, CLASSES),
    }
    judge = {
        name: jax.random.normal(key, shape) * (2 / np.prod(shape[:-1])) ** 0.5
        for key, (name, shape) in zip(keys, shapes.items(), strict=False)
    }
    pixels, labels = jnp.asarray(images.pixels), jnp.asarray(images.labels)

    def lose(judge: Any, batch: Any) -> Any:
        odds = jax.nn.log_softmax(_classify(judge, pixels[batch]))
        return -jnp.take_along_axis(odds, labels[batch][:, None], axis=1).mean()

    def one(nth: Any, state: Any) -> Any:
        judge, velocity = state
        batch = jax.random.randint(jax.random.fold_in(keys[3], nth), (BATCH,), 0, len(labels))
        slopes = jax.grad(lose)(judge, batch)
        rate = RATE * (1 - nth / steps)
        velocity = jax.tree.map(lambda v, s: MOMENTUM * v - rate * s, velocity, slopes)
        return jax.tree.map(jnp.add, judge, velocity), velocity

    begin = judge, jax.tree.map(jnp.zeros_like, judge)
    trained, _ = jax.jit(functools.partial(jax.lax.fori_loop, 0, steps, one))(begin)
    return trained


def _classify(judge: Any, images: Any) -> Any:
    hidden = jax.nn.relu(ramet.jax.conv(images, judge["near"], 2))
    hidden = jax.nn.relu(ramet.jax.conv(hidden, judge["far"], 2))
    return hidden.reshape(len(images), -1) @ judge["dense"]
