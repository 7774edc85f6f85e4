"""The parts of V-MPO, each against what its paper asks of it (Song et al., 2019)."""

import jax
import numpy as np
import pytest
from jax import numpy as jnp

from experiments.vmpo import (
    Gaussian,
    choose_better_half,
    find_bound_loss,
    find_temperature_loss,
    measure_moves,
    weigh,
)

ADVANTAGES = jnp.array([-3.0, 0.5, 2.0, -1.0, 4.0, 1.0])
POLICY = Gaussian(jnp.array([[0.3, -1.0]]), jnp.array([[0.5, 2.0]]))


def find_distance(temperature: float) -> float:
    """Return the KL divergence of the weights from equal ones, over the better half."""
    weights = np.asarray(weigh(ADVANTAGES, temperature))
    weights = weights[weights > 0]
    return float((weights * np.log(weights * len(weights))).sum())


def test_the_better_half_is_chosen() -> None:
    assert choose_better_half(ADVANTAGES).tolist() == [False, False, True, False, True, True]


def test_the_worse_half_weighs_nothing_and_the_best_most() -> None:
    weights = np.asarray(weigh(ADVANTAGES, 1.0))
    assert weights.sum() == pytest.approx(1.0)
    assert weights[[0, 1, 3]].tolist() == [0.0, 0.0, 0.0]
    assert weights.argmax() == 4
    assert weights[4] / weights[2] == pytest.approx(np.exp(2.0), rel=1e-5)


def test_a_high_temperature_makes_weights_equal() -> None:
    assert find_distance(1e4) == pytest.approx(0.0, abs=1e-5)
    assert find_distance(0.5) > find_distance(2.0) > 0


@pytest.mark.parametrize("temperature", [0.3, 0.7, 2.0, 9.0])
def test_the_slope_of_the_temperatures_loss_is_how_far_its_bound_is(temperature: float) -> None:
    slope = jax.grad(find_temperature_loss, argnums=1)(ADVANTAGES, temperature, 0.1)
    # It falls while weights are nearer to equal ones than they may be, and rises otherwise.
    assert float(slope) == pytest.approx(0.1 - find_distance(temperature), abs=1e-4)


def test_the_temperatures_loss_is_least_where_the_bound_is_kept() -> None:
    temperatures = np.linspace(0.5, 5.0, 1_000)
    losses = [float(find_temperature_loss(ADVANTAGES, one, 0.1)) for one in temperatures]
    assert find_distance(temperatures[int(np.argmin(losses))]) == pytest.approx(0.1, abs=0.01)


def test_a_policy_that_has_not_moved_is_nowhere_else() -> None:
    of_mean, of_spread = measure_moves(POLICY, POLICY)
    assert (of_mean.tolist(), of_spread.tolist()) == ([0.0], [0.0])


def test_moves_of_means_and_of_spreads_are_measured_apart() -> None:
    there = POLICY._replace(mean=POLICY.mean + 1.0)
    of_mean, of_spread = measure_moves(POLICY, there)
    # Half of (1 / 0.5)² + (1 / 2)².
    assert float(of_mean[0]) == pytest.approx(2.125)
    assert float(of_spread[0]) == 0.0
    wider = POLICY._replace(spread=2 * POLICY.spread)
    of_mean, of_spread = measure_moves(POLICY, wider)
    assert float(of_mean[0]) == 0.0
    # Of each of two dimensions: (1/4 - 1 + ln 4) / 2.
    assert float(of_spread[0]) == pytest.approx(0.25 - 1 + np.log(4), rel=1e-5)


def test_log_densities_are_those_of_all_dimensions_together() -> None:
    of_action = float(POLICY.log_density(POLICY.mean)[0])
    assert of_action == pytest.approx(-np.log(2 * np.pi * 0.5 * 2.0), rel=1e-5)


@pytest.mark.parametrize(("move", "sign"), [(0.3, -1), (0.01, 1)])
def test_the_price_of_moves_rises_above_their_bound_and_falls_below(move: float, sign: int) -> None:
    slope = jax.grad(find_bound_loss, argnums=1)(jnp.array([move]), 2.0, 0.1)
    assert np.sign(slope) == sign


def test_a_move_costs_its_price() -> None:
    slope = jax.grad(find_bound_loss)(jnp.array([0.3]), 2.0, 0.1)
    assert slope.tolist() == [2.0]
