"""Networks that classify images, as functions of their parameters: linear, one layer, residual."""

import math
from typing import Any, NamedTuple, Protocol

import jax
from jax import numpy as jnp

import ramet.jax
from experiments.fashion_mnist import CLASSES


class Network(Protocol):
    """Maps rows of pixels to one number for each class."""

    def init(self, key: Any, pixels: int) -> Any:
        """Return first parameters.

        Args:
            key: Draws them.
            pixels: How many pixels an image has.
        """

    def outputs(self, params: Any, rows: Any) -> Any:
        """Return a number for each class: how likely it is, as a logarithm, up to a constant."""


class Linear:
    """No hidden layer: logistic regression."""

    def init(self, key: Any, pixels: int) -> Any:
        """Return first parameters, which are all 0."""
        del key
        return {"out": jnp.zeros((pixels, CLASSES)), "out_bias": jnp.zeros(CLASSES)}

    def outputs(self, params: Any, rows: Any) -> Any:
        """Return a number for each class."""
        return rows @ params["out"] + params["out_bias"]


class OneLayer(NamedTuple):
    """One hidden layer."""

    width: int = 64

    def init(self, key: Any, pixels: int) -> Any:
        """Return first parameters."""
        keys = jax.random.split(key)
        return {
            "in": jax.random.normal(keys[0], (pixels, self.width)) * (2 / pixels) ** 0.5,
            "in_bias": jnp.zeros(self.width),
            "out": jax.random.normal(keys[1], (self.width, CLASSES)) * self.width**-0.5,
            "out_bias": jnp.zeros(CLASSES),
        }

    def outputs(self, params: Any, rows: Any) -> Any:
        """Return a number for each class."""
        hidden = jax.nn.relu(rows @ params["in"] + params["in_bias"])
        return hidden @ params["out"] + params["out_bias"]


class Residual(NamedTuple):
    """Convolutions of three by three: one that halves the image, and a block with a way around."""

    channels: int = 8

    def init(self, key: Any, pixels: int) -> Any:
        """Return first parameters. The block begins as if it were not there."""
        del pixels
        keys, many = jax.random.split(key, 3), self.channels
        return {
            "in": jax.random.normal(keys[0], (3, 3, 1, many)) * (2 / 9) ** 0.5,
            "in_bias": jnp.zeros(many),
            "first": jax.random.normal(keys[1], (3, 3, many, many)) * (2 / (9 * many)) ** 0.5,
            "first_bias": jnp.zeros(many),
            "second": jnp.zeros((3, 3, many, many)),
            "out": jax.random.normal(keys[2], (many, CLASSES)) * many**-0.5,
            "out_bias": jnp.zeros(CLASSES),
        }

    def outputs(self, params: Any, rows: Any) -> Any:
        """Return a number for each class."""
        side = math.isqrt(rows.shape[1])
        images = rows.reshape(-1, side, side, 1)
        seen = jax.nn.relu(ramet.jax.conv(images, params["in"], 2) + params["in_bias"])
        within = jax.nn.relu(ramet.jax.conv(seen, params["first"]) + params["first_bias"])
        seen = jax.nn.relu(seen + ramet.jax.conv(within, params["second"]))
        return seen.mean(axis=(1, 2)) @ params["out"] + params["out_bias"]


NETWORKS: dict[str, Network] = {
    "linear": Linear(),
    "one-layer": OneLayer(),
    "residual": Residual(),
}
