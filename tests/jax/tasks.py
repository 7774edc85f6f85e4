"""A task in JAX that the tests here share."""

from collections.abc import Mapping
from typing import Any

import jax
from jax import numpy as jnp

import ramet

SPACE = ramet.Space(lr=ramet.LogUniform(1e-3, 0.5), decay=ramet.Uniform(0.0, 0.5))


class Bowl:
    """Descent in a bowl that every step tilts anew; counts how often it is traced."""

    def __init__(self) -> None:
        self.traced = 0

    def init(self, key: jax.Array) -> dict[str, Any]:
        return {"w": jax.random.normal(key, (3,)), "seen": jnp.zeros((), jnp.int32)}

    def step(
        self, state: dict[str, Any], hparams: Mapping[str, Any], steps: int, key: jax.Array
    ) -> dict[str, Any]:
        self.traced += 1
        lr, decay = hparams["lr"], hparams["decay"]

        def one(nth: Any, w: jax.Array) -> jax.Array:
            tilt = 0.1 * jax.random.normal(jax.random.fold_in(key, nth), (3,))
            return w - lr * (w + tilt) - 0.01 * decay * w

        w = jax.lax.fori_loop(0, steps, one, state["w"])
        return {"w": w, "seen": state["seen"] + steps}

    def evaluate(self, state: dict[str, Any]) -> jax.Array:
        return -jnp.sum(state["w"] ** 2)
