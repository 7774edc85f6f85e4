"""Episodes in environments of gymnax, and the advantages that are estimated from them."""

from typing import Any

import jax
import numpy as np
import pytest
from jax import numpy as jnp

from experiments.episodes import Choice, begin, collect, estimate_advantages, make_world
from tests.frameworks import package

COUNT, TICKS, DISCOUNT = 3, 6, 0.9
WORST = -2_000.0
# An episode of Pendulum.
EPISODE_TICKS = 200


def stand_still(key: Any, seen: Any) -> Choice:
    return Choice(jnp.zeros((len(seen), 1)), {})


def value_nothing(seen: Any) -> Any:
    return jnp.zeros(len(seen))


def make_rollout() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    names = ("reward", "value", "following")
    drawn = {name: jnp.asarray(rng.normal(size=(TICKS, COUNT))) for name in names}
    over = jnp.zeros((TICKS, COUNT), bool).at[2, 1].set(True)
    # What follows a tick is what the next one is worth, unless an episode was over.
    following = jnp.where(over[:-1], drawn["following"][:-1], drawn["value"][1:])
    return drawn | {"over": over, "following": drawn["following"].at[:-1].set(following)}


def test_with_a_trace_of_one_an_advantage_is_the_return_above_its_value() -> None:
    seen = make_rollout()
    found = estimate_advantages(seen, discount=DISCOUNT, trace=1.0, unroll=TICKS)
    powers = DISCOUNT ** np.arange(TICKS)
    rewards = np.asarray(seen["reward"][:, 0])
    whole = (powers * rewards).sum() + DISCOUNT**TICKS * float(seen["following"][-1, 0])
    assert float(found[0, 0]) == pytest.approx(whole - float(seen["value"][0, 0]), rel=1e-4)


def test_with_a_trace_of_nought_an_advantage_is_the_error_of_its_tick() -> None:
    seen = make_rollout()
    found = estimate_advantages(seen, discount=DISCOUNT, trace=0.0, unroll=TICKS)
    errors = seen["reward"] + DISCOUNT * seen["following"] - seen["value"]
    np.testing.assert_allclose(found, errors, rtol=1e-5)


@pytest.mark.parametrize("changed", [3, 5])
def test_advantages_do_not_depend_on_what_follows_an_episode_or_an_unroll(changed: int) -> None:
    seen = make_rollout()
    other = seen | {"reward": seen["reward"].at[changed].add(10.0)}
    one, two = (
        np.asarray(estimate_advantages(each, discount=DISCOUNT, trace=0.95, unroll=3))
        for each in (seen, other)
    )
    # The unroll of 3 ticks ends before; those of the second one differ.
    np.testing.assert_array_equal(one[:3], two[:3])
    assert (one[3] != two[3]).all()


def test_an_advantage_ends_with_its_episode() -> None:
    seen = make_rollout()
    other = seen | {"reward": seen["reward"].at[3].add(10.0)}
    one, two = (
        np.asarray(estimate_advantages(each, discount=DISCOUNT, trace=0.95, unroll=TICKS))
        for each in (seen, other)
    )
    # Only the second environment's episode was over before.
    assert (one[0] != two[0]).tolist() == [True, False, True]


def test_returns_are_those_of_episodes_that_ended() -> None:
    package("gymnax")
    world = make_world("Pendulum-v1", WORST, (1.0, 1.0, 8.0))
    worlds = begin(world, jax.random.key(0), COUNT)
    assert (world.seen, world.actions) == (3, 1)
    before, first = collect(
        world, stand_still, value_nothing, worlds, jax.random.key(1), ticks=EPISODE_TICKS - 1
    )
    assert before["returns"].tolist() == [WORST] * COUNT
    after, last = collect(world, stand_still, value_nothing, before, jax.random.key(2), ticks=1)
    whole = first["reward"].sum(axis=0) + last["reward"].sum(axis=0)
    np.testing.assert_allclose(after["returns"], whole, rtol=1e-5)
    assert after["sum"].tolist() == [0.0] * COUNT
    assert np.abs(first["seen"]).max() <= 1.0
