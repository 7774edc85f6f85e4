"""V-MPO in JAX (Song et al., 2019, 1909.12238), with a Gaussian policy for continuous actions.

A step is a rollout of all environments, and the updates that follow it. The better half of what was
done is weighted by its advantages, at a temperature η, and the policy is fitted to it. Two bounds
hold it back: ``epsilon_eta`` is how far the weights may be from equal ones, and ``EPSILON_MEAN``
and ``EPSILON_SPREAD`` how far the policy may move, in its means and in its deviations. The
temperature and the prices of the policy's moves are trained as well, so that the bounds are kept.
"""

import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import optax
from jax import numpy as jnp

from experiments.actor_critic import forward, make_layers
from experiments.episodes import Agents, Choice, begin, collect, estimate_advantages

ENVIRONMENTS, TICKS, PASSES, HIDDEN = 16, 40, 8, 32
DISCOUNT, TRACE, LARGEST_GRADIENT = 0.95, 0.95, 0.5
EPSILON_MEAN, EPSILON_SPREAD = 0.05, 1e-3
# Temperature and prices begin at 1, and have a learning rate of their own.
MULTIPLIER_LR, LEAST_MULTIPLIER = 3e-2, 1e-6
# Values are of rewards that are this many times smaller, which spares their normalisation.
REWARD_SCALE = 0.1
LEAST_SPREAD = 1e-3


class Gaussian(NamedTuple):
    """A policy's distributions of actions, one for each thing seen."""

    mean: Any
    spread: Any

    def log_density(self, action: Any) -> Any:
        """Return the log-densities of actions."""
        return jax.scipy.stats.norm.logpdf(action, self.mean, self.spread).sum(axis=-1)


class Multipliers(NamedTuple):
    """What keeps the bounds; a softplus makes them positive."""

    temperature: Any
    price_of_mean: Any
    price_of_spread: Any


def choose_better_half(advantages: Any) -> Any:
    """Return which advantages are at or above their median.

    >>> choose_better_half(jnp.array([1.0, 4.0, 2.0, 3.0])).tolist()
    [False, True, False, True]
    """
    return advantages >= jnp.median(advantages)


def weigh(advantages: Any, temperature: Any) -> Any:
    """Return the weights of actions, which sum to 1 and are 0 in the worse half."""
    better = choose_better_half(advantages)
    return jax.nn.softmax(jnp.where(better, advantages / temperature, -jnp.inf))


def find_temperature_loss(advantages: Any, temperature: Any, epsilon: Any) -> Any:
    """Return what is least where the weights are ``epsilon`` from equal ones."""
    better = choose_better_half(advantages)
    scaled = jnp.where(better, advantages / temperature, -jnp.inf)
    log_mean = jax.nn.logsumexp(scaled) - jnp.log(better.sum())
    return temperature * (epsilon + log_mean)


def measure_moves(old: Gaussian, new: Gaussian) -> tuple[Any, Any]:
    """Return the KL divergences from an old policy to its new means, and to its new spreads."""
    of_mean = jnp.square((new.mean - old.mean) / old.spread) / 2
    ratio = jnp.square(old.spread / new.spread)
    of_spread = (ratio - 1 - jnp.log(ratio)) / 2
    return of_mean.sum(axis=-1), of_spread.sum(axis=-1)


def find_bound_loss(move: Any, price: Any, epsilon: float) -> Any:
    """Return what raises the price of moves above ``epsilon``, and makes moves cost their price."""
    fixed = jax.lax.stop_gradient
    return (price * (epsilon - fixed(move)) + fixed(price) * move).mean()


def _act(params: Any, seen: Any) -> Gaussian:
    mean, spread = jnp.split(forward(params["actor"], seen), 2, axis=-1)
    # A spread of 1 at first.
    return Gaussian(mean, jax.nn.softplus(spread + jnp.log(jnp.e - 1)) + LEAST_SPREAD)


def _values(params: Any, seen: Any) -> Any:
    return forward(params["critic"], seen)[..., 0]


def _make_optimizer(lr: Any) -> optax.GradientTransformation:
    return optax.chain(optax.clip_by_global_norm(LARGEST_GRADIENT), optax.adam(lr, eps=1e-5))


_of_multipliers = optax.adam(MULTIPLIER_LR)


class VMPO(Agents):
    """Agents in one environment, whose hyperparameters are ``lr`` and ``epsilon_eta``."""

    def init(self, key: Any) -> Any:
        """Return a first state."""
        acting, judging, placing = jax.random.split(key, 3)
        world = self._world
        params = {
            "actor": make_layers(acting, [world.seen, HIDDEN, HIDDEN, 2 * world.actions], 0.01),
            "critic": make_layers(judging, [world.seen, HIDDEN, HIDDEN, 1], 1.0),
        }
        multipliers = Multipliers(*[jnp.log(jnp.e - 1)] * 3)._asdict()
        return {
            "params": params,
            "memory": _make_optimizer(0.0).init(params),
            "multipliers": multipliers,
            "memory_of_multipliers": _of_multipliers.init(multipliers),
            "worlds": begin(world, placing, ENVIRONMENTS),
        }

    def _collect(self, params: Any, worlds: Any, key: Any, ticks: int) -> tuple[Any, Any]:
        def choose(key: Any, seen: Any) -> Choice:
            policy = _act(params, seen)
            action = policy.mean + policy.spread * jax.random.normal(key, policy.mean.shape)
            return Choice(action, {"policy": policy})

        value = functools.partial(_values, params)
        return collect(self._world, choose, value, worlds, key, ticks=ticks)

    def _update(self, state: Any, hparams: Mapping[str, Any], key: Any) -> Any:
        """Return the state after a rollout and the gradient steps that follow."""
        worlds, happened = self._collect(state["params"], state["worlds"], key, TICKS)
        happened["reward"] = REWARD_SCALE * happened["reward"]
        happened["advantage"] = estimate_advantages(
            happened, discount=DISCOUNT, trace=TRACE, unroll=TICKS
        )
        happened["target"] = happened["advantage"] + happened["value"]
        batch = jax.tree.map(lambda x: x.reshape(ENVIRONMENTS * TICKS, *x.shape[2:]), happened)

        def descend(state: Any, _: None) -> tuple[Any, None]:
            trained = state["params"], state["multipliers"]
            slopes, of_bounds = jax.grad(_loss)(trained, batch, hparams["epsilon_eta"])
            changes, memory = _make_optimizer(hparams["lr"]).update(slopes, state["memory"])
            moves, memory_of_multipliers = _of_multipliers.update(
                of_bounds, state["memory_of_multipliers"]
            )
            return {
                "params": optax.apply_updates(state["params"], changes),
                "memory": memory,
                "multipliers": optax.apply_updates(state["multipliers"], moves),
                "memory_of_multipliers": memory_of_multipliers,
                "worlds": state["worlds"],
            }, None

        return jax.lax.scan(descend, {**state, "worlds": worlds}, length=PASSES)[0]


def _loss(trained: Any, batch: Any, epsilon_eta: Any) -> Any:
    params, raw = trained
    positive = jax.tree.map(lambda x: jax.nn.softplus(x) + LEAST_MULTIPLIER, raw)
    multipliers = Multipliers(**positive)
    policy, advantages = _act(params, batch["seen"]), batch["advantage"]
    weights = jax.lax.stop_gradient(weigh(advantages, multipliers.temperature))
    of_mean, of_spread = measure_moves(batch["policy"], policy)
    of_value = jnp.square(_values(params, batch["seen"]) - batch["target"]).mean() / 2
    return (
        -(weights * policy.log_density(batch["action"])).sum()
        + find_temperature_loss(advantages, multipliers.temperature, epsilon_eta)
        + find_bound_loss(of_mean, multipliers.price_of_mean, EPSILON_MEAN)
        + find_bound_loss(of_spread, multipliers.price_of_spread, EPSILON_SPREAD)
        + of_value
    )
