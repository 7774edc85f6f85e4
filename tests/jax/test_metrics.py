"""Arrays of JAX as metrics."""

import jax
import jax.numpy as jnp
import pytest

from ramet.engine.run.metrics import Metrics
from ramet.errors import MetricError


def kept(metrics: Metrics) -> dict[str, list[float]]:
    return {name: values.tolist() for it in metrics.pack() for name, _, values in it.curves()}


def test_arrays_are_numbers_once_the_turn_is_over() -> None:
    metrics = Metrics()
    losses = jax.jit(lambda: jnp.arange(3.0) / 4)()
    for step, loss in enumerate(losses, 1):
        metrics.log(step, {"loss": loss, "half": loss.astype(jnp.bfloat16), "one": jnp.ones((1,))})
    assert kept(metrics) == {"loss": [0, 0.25, 0.5], "half": [0, 0.25, 0.5], "one": [1.0] * 3}


def test_several_numbers_are_refused() -> None:
    with pytest.raises(MetricError, match=r"'loss' is an array of shape \(3,\)"):
        Metrics().log(1, {"loss": jnp.zeros(3)})


def test_what_is_logged_within_a_jitted_function_is_refused_at_once() -> None:
    metrics = Metrics()

    @jax.jit
    def step(loss: jax.Array) -> jax.Array:
        metrics.log(1, {"loss": loss})
        return loss

    with pytest.raises(MetricError, match="must be one number, but 'loss' is"):
        step(1.0)


def test_an_array_that_was_donated_before_its_turn_ended_is_named() -> None:
    metrics = Metrics()
    weights = jnp.ones(1)
    metrics.log(1, {"weight": weights})
    jax.jit(lambda x: x + 1, donate_argnums=0)(weights)
    with pytest.raises(MetricError, match=r"'weight' could not be read: .*; log float\(weight\)"):
        metrics.pack()
