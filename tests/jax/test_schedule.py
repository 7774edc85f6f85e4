"""Schedules in optax's own terms."""

import jax
import numpy as np
import optax
import pytest
from jax import numpy as jnp

from ramet.schedule import Piece, Schedule

SCHEDULE = Schedule(
    tuple(
        Piece(start=10 * nth, stop=10 * (nth + 1), hparams={"lr": rate})
        for nth, rate in enumerate([0.3, 0.1, 0.07])
    )
)


def test_a_traced_step_has_its_rate() -> None:
    rate = jax.jit(SCHEDULE.as_optax("lr"))
    for step in range(35):
        assert float(rate(jnp.asarray(step))) == np.float32(SCHEDULE(step)["lr"])


def test_an_optimizer_of_optax_trains_by_it() -> None:
    optimizer = optax.sgd(SCHEDULE.as_optax("lr"))
    weights = jnp.zeros(())
    state = optimizer.init(weights)
    for step in range(35):
        updates, state = optimizer.update(jnp.ones(()), state, weights)
        assert float(updates) == pytest.approx(-SCHEDULE(step)["lr"], rel=1e-6)
