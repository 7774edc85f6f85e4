"""PPO in JAX on environments of gymnax, for a population that is trained as one program.

A step is a rollout of all environments, and the updates that follow it. The environments are a part
of a member's state, so an episode may last longer than a turn.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import optax
from jax import numpy as jnp

ENVIRONMENTS, TICKS, EPOCHS, MINIBATCHES = 16, 64, 4, 4
HIDDEN, DISCOUNT, VALUE_COEFFICIENT, LARGEST_GRADIENT = 64, 0.99, 0.5, 0.5


class World(NamedTuple):
    """An environment of gymnax."""

    environment: Any
    settings: Any
    # The size of an observation, and the number of actions.
    seen: int
    actions: int
    # The return of an episode that has not ended yet.
    worst: float


def make_world(name: str, worst: float) -> World:
    """Return an environment of gymnax by its name."""
    try:
        import gymnax  # noqa: PLC0415 - says how to install it
    except ImportError:
        raise SystemExit("this experiment needs gymnax: make .venv/experiments") from None
    environment, settings = gymnax.make(name)
    seen, _ = environment.reset(jax.random.key(0), settings)
    actions = environment.action_space(settings).n
    return World(environment, settings, int(seen.size), int(actions), worst)


def _make_layers(key: Any, sizes: list[int], last: float) -> list[dict[str, Any]]:
    keys = jax.random.split(key, len(sizes) - 1)
    scales = [2**0.5] * (len(sizes) - 2) + [last]
    return [
        {
            "w": jax.nn.initializers.orthogonal(scale)(key, (inputs, outputs)),
            "b": jnp.zeros(outputs),
        }
        for key, scale, inputs, outputs in zip(keys, scales, sizes[:-1], sizes[1:], strict=True)
    ]


def _forward(layers: list[dict[str, Any]], x: Any) -> Any:
    *hidden, last = layers
    for layer in hidden:
        x = jnp.tanh(x @ layer["w"] + layer["b"])
    return x @ last["w"] + last["b"]


def _log_odds(params: Any, seen: Any) -> Any:
    return jax.nn.log_softmax(_forward(params["actor"], seen))


def _values(params: Any, seen: Any) -> Any:
    return _forward(params["critic"], seen)[..., 0]


def _make_optimizer(lr: Any) -> optax.GradientTransformation:
    return optax.chain(optax.clip_by_global_norm(LARGEST_GRADIENT), optax.adam(lr, eps=1e-5))


class PPO:
    """Agents in one environment.

    Their hyperparameters are ``lr``, the ``entropy`` cost, ``clip``, ``trace`` (the λ of advantage
    estimates) and ``unroll``, the ticks over which an advantage is estimated before the value of
    what follows is taken for the rest.
    """

    def __init__(self, world: World) -> None:
        self._world = world

    def init(self, key: Any) -> Any:
        """Return a first state."""
        acting, judging, placing = jax.random.split(key, 3)
        world = self._world
        params = {
            "actor": _make_layers(acting, [world.seen, HIDDEN, HIDDEN, world.actions], 0.01),
            "critic": _make_layers(judging, [world.seen, HIDDEN, HIDDEN, 1], 1.0),
        }
        return {
            "params": params,
            "memory": _make_optimizer(0.0).init(params),
            "worlds": self._reset(placing, ENVIRONMENTS),
        }

    def step(self, state: Any, hparams: Mapping[str, Any], steps: int, key: Any) -> Any:
        """Train for some updates."""

        def one(nth: Any, state: Any) -> Any:
            return self._update(state, hparams, jax.random.fold_in(key, nth))

        return jax.lax.fori_loop(0, steps, one, state)

    def evaluate(self, state: Any) -> Any:
        """Return the mean return of each environment's latest episode."""
        return state["worlds"]["returns"].mean()

    def play(self, params: Any, key: Any, *, environments: int, ticks: int) -> Any:
        """Return the mean return of each fresh environment's latest episode, without training."""
        placing, playing = jax.random.split(key)
        worlds = self._reset(placing, environments)
        worlds, _ = self._collect(params, worlds, playing, ticks)
        return worlds["returns"].mean()

    def _reset(self, key: Any, count: int) -> Any:
        world = self._world
        reset = jax.vmap(lambda key: world.environment.reset(key, world.settings))
        seen, inner = reset(jax.random.split(key, count))  # type: ignore[no-untyped-call]  # gymnax has no types
        return {
            "seen": seen.reshape(count, -1).astype(jnp.float32),
            "inner": inner,
            # Of the present episode, and of the latest that ended.
            "sum": jnp.zeros(count),
            "returns": jnp.full(count, world.worst),
        }

    def _collect(self, params: Any, worlds: Any, key: Any, ticks: int) -> tuple[Any, Any]:
        """Return the environments after a rollout, and everything that happened in it."""
        world, count = self._world, len(worlds["sum"])

        def tick(key: Any, inner: Any, action: Any) -> Any:
            return world.environment.step(key, inner, action, world.settings)

        def play(worlds: Any, key: Any) -> tuple[Any, Any]:
            choosing, moving = jax.random.split(key)
            odds = _log_odds(params, worlds["seen"])
            action = jax.random.categorical(choosing, odds)
            seen, inner, reward, ended, cut, more = jax.vmap(tick)(
                jax.random.split(moving, count), worlds["inner"], action
            )
            total = worlds["sum"] + reward
            over = ended | cut
            last = more["final_observation"].reshape(count, -1).astype(jnp.float32)
            happened = {
                "seen": worlds["seen"],
                "action": action,
                "log_odds": jnp.take_along_axis(odds, action[:, None], axis=1)[:, 0],
                "value": _values(params, worlds["seen"]),
                "reward": reward,
                "over": over,
                # An episode that was cut short would have gone on.
                "following": jnp.where(ended, 0.0, _values(params, last)),
            }
            worlds = {
                "seen": seen.reshape(count, -1).astype(jnp.float32),
                "inner": inner,
                "sum": jnp.where(over, 0.0, total),
                "returns": jnp.where(over, total, worlds["returns"]),
            }
            return worlds, happened

        return jax.lax.scan(play, worlds, jax.random.split(key, ticks))

    def _update(self, state: Any, hparams: Mapping[str, Any], key: Any) -> Any:
        """Return the state after a rollout and the gradient steps that follow."""
        playing, shuffling = jax.random.split(key)
        worlds, happened = self._collect(state["params"], state["worlds"], playing, TICKS)
        happened["advantage"] = _estimate_advantages(happened, hparams)
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


def _estimate_advantages(happened: Any, hparams: Mapping[str, Any]) -> Any:
    """Return generalised advantage estimates, each of at most ``unroll`` ticks."""

    def back(ahead: Any, now: Any) -> tuple[Any, Any]:
        error = now["reward"] + DISCOUNT * now["following"] - now["value"]
        ahead = error + DISCOUNT * hparams["trace"] * now["goes_on"] * ahead
        return ahead, ahead

    ticks = jnp.arange(1, TICKS + 1)
    whole = (ticks % hparams["unroll"] != 0)[:, None]
    seen = happened | {"goes_on": whole * (1.0 - happened["over"])}
    return jax.lax.scan(back, jnp.zeros(ENVIRONMENTS), seen, reverse=True)[1]


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
