"""PPO in JAX on environments of gymnax, for a population that is trained as one program.

A step is a rollout of all environments, and the updates that follow it.
"""

import functools
from collections.abc import Mapping
from typing import Any

import jax
import optax
from jax import numpy as jnp

from experiments.episodes import Agents, Choice, begin, collect, estimate_advantages

ENVIRONMENTS, TICKS, EPOCHS, MINIBATCHES = 16, 64, 4, 4
HIDDEN, DISCOUNT, VALUE_COEFFICIENT, LARGEST_GRADIENT = 64, 0.99, 0.5, 0.5


def make_layers(key: Any, sizes: list[int], last: float) -> list[dict[str, Any]]:
    """Return the first weights of a network, of which those of the last layer have this scale."""
    keys = jax.random.split(key, len(sizes) - 1)
    scales = [2**0.5] * (len(sizes) - 2) + [last]
    return [
        {
            "w": jax.nn.initializers.orthogonal(scale)(key, (inputs, outputs)),
            "b": jnp.zeros(outputs),
        }
        for key, scale, inputs, outputs in zip(keys, scales, sizes[:-1], sizes[1:], strict=True)
    ]


def forward(layers: list[dict[str, Any]], x: Any) -> Any:
    """Return what a network makes of its inputs."""
    *hidden, last = layers
    for layer in hidden:
        x = jnp.tanh(x @ layer["w"] + layer["b"])
    return x @ last["w"] + last["b"]


def _log_odds(params: Any, seen: Any) -> Any:
    return jax.nn.log_softmax(forward(params["actor"], seen))


def _values(params: Any, seen: Any) -> Any:
    return forward(params["critic"], seen)[..., 0]


def _make_optimizer(lr: Any) -> optax.GradientTransformation:
    return optax.chain(optax.clip_by_global_norm(LARGEST_GRADIENT), optax.adam(lr, eps=1e-5))


class PPO(Agents):
    """Agents in one environment.

    Their hyperparameters are ``lr``, the ``entropy`` cost, ``clip``, ``trace`` (the λ of advantage
    estimates) and ``unroll``, the ticks over which an advantage is estimated before the value of
    what follows is taken for the rest.
    """

    def init(self, key: Any) -> Any:
        """Return a first state."""
        acting, judging, placing = jax.random.split(key, 3)
        world = self._world
        params = {
            "actor": make_layers(acting, [world.seen, HIDDEN, HIDDEN, world.actions], 0.01),
            "critic": make_layers(judging, [world.seen, HIDDEN, HIDDEN, 1], 1.0),
        }
        return {
            "params": params,
            "memory": _make_optimizer(0.0).init(params),
            "worlds": begin(world, placing, ENVIRONMENTS),
        }

    def _collect(self, params: Any, worlds: Any, key: Any, ticks: int) -> tuple[Any, Any]:
        def choose(key: Any, seen: Any) -> Choice:
            odds = _log_odds(params, seen)
            action = jax.random.categorical(key, odds)
            log_odds = jnp.take_along_axis(odds, action[:, None], axis=1)[:, 0]
            return Choice(action, {"log_odds": log_odds})

        value = functools.partial(_values, params)
        return collect(self._world, choose, value, worlds, key, ticks=ticks)

    def _update(self, state: Any, hparams: Mapping[str, Any], key: Any) -> Any:
        """Return the state after a rollout and the gradient steps that follow."""
        playing, shuffling = jax.random.split(key)
        worlds, happened = self._collect(state["params"], state["worlds"], playing, TICKS)
        happened["advantage"] = estimate_advantages(
            happened, discount=DISCOUNT, trace=hparams["trace"], unroll=hparams["unroll"]
        )
        happened["target"] = happened["advantage"] + happened["value"]
        size = ENVIRONMENTS * TICKS
        flat = jax.tree.map(lambda x: x.reshape(size, *x.shape[2:]), happened)

        def descend(carry: Any, chosen: Any) -> tuple[Any, None]:
            params, memory = carry
            batch = jax.tree.map(lambda x: x[chosen], flat)
            slopes = jax.grad(_loss)(params, batch, hparams)
            changes, memory = _make_optimizer(hparams["lr"]).update(slopes, memory)
            return (optax.apply_updates(params, changes), memory), None

        keys = jax.random.split(shuffling, EPOCHS)
        orders = jnp.stack([jax.random.permutation(key, size) for key in keys])
        chosen = orders.reshape(EPOCHS * MINIBATCHES, -1)
        (params, memory), _ = jax.lax.scan(descend, (state["params"], state["memory"]), chosen)
        return {"params": params, "memory": memory, "worlds": worlds}


def _loss(params: Any, batch: Any, hparams: Mapping[str, Any]) -> Any:
    odds = _log_odds(params, batch["seen"])
    log_odds = jnp.take_along_axis(odds, batch["action"][:, None], axis=1)[:, 0]
    ratio = jnp.exp(log_odds - batch["log_odds"])
    clipped = jnp.clip(ratio, 1 - hparams["clip"], 1 + hparams["clip"])
    advantage = batch["advantage"]
    advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
    of_policy = -jnp.minimum(ratio * advantage, clipped * advantage).mean()
    of_value = jnp.square(_values(params, batch["seen"]) - batch["target"]).mean() / 2
    entropy = -(jnp.exp(odds) * odds).sum(axis=1).mean()
    return of_policy + VALUE_COEFFICIENT * of_value - hparams["entropy"] * entropy
