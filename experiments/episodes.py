"""Episodes in environments of gymnax, many at a time, which an agent in JAX keeps in its state.

Because they are a part of a member's state, an episode may last longer than a turn.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
from jax import numpy as jnp


class World(NamedTuple):
    """An environment of gymnax."""

    environment: Any
    settings: Any
    # The size of an observation.
    seen: int
    # The number of actions, or of their dimensions if they are continuous.
    actions: int
    # The return of an episode that has not ended yet.
    worst: float
    # What observations are divided by.
    unit: Any


class Choice(NamedTuple):
    """What agents do in their environments."""

    action: Any
    # What training will have to know about it.
    noted: Mapping[str, Any]


Policy = Callable[[Any, Any], Choice]
Judge = Callable[[Any], Any]


def make_world(name: str, worst: float, unit: Sequence[float] = (1.0,)) -> World:
    """Return an environment of gymnax by its name.

    Args:
        name: Its name.
        worst: The return of an episode that has not ended yet.
        unit: What observations are divided by: one number, or one for each of their parts.
    """
    try:
        import gymnax  # noqa: PLC0415 - says how to install it
    except ImportError:
        raise SystemExit("this experiment needs gymnax: make .venv/experiments") from None
    environment, settings = gymnax.make(name)
    seen, _ = environment.reset(jax.random.key(0), settings)
    space = environment.action_space(settings)
    actions = space.n if hasattr(space, "n") else space.shape[0]
    return World(environment, settings, int(seen.size), int(actions), worst, jnp.array(unit))


def begin(world: World, key: Any, count: int) -> Any:
    """Return the first state of some environments."""
    reset = jax.vmap(lambda key: world.environment.reset(key, world.settings))
    seen, inner = reset(jax.random.split(key, count))  # type: ignore[no-untyped-call]  # gymnax has no types
    return {
        "seen": _flatten(world, seen),
        "inner": inner,
        # Of the present episode, and of the latest that ended.
        "sum": jnp.zeros(count),
        "returns": jnp.full(count, world.worst),
    }


class Agents(ABC):
    """Agents in one environment, each a member of a population that is trained as one program.

    Args:
        world: The environment.
    """

    def __init__(self, world: World) -> None:
        self._world = world

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
        worlds = begin(self._world, placing, environments)
        worlds, _ = self._collect(params, worlds, playing, ticks)
        return worlds["returns"].mean()

    @abstractmethod
    def _update(self, state: Any, hparams: Mapping[str, Any], key: Any) -> Any:
        """Return the state after a rollout and what is learned from it."""

    @abstractmethod
    def _collect(self, params: Any, worlds: Any, key: Any, ticks: int) -> tuple[Any, Any]:
        """Return the environments after a rollout, and everything that happened in it."""


def _flatten(world: World, seen: Any) -> Any:
    return seen.reshape(len(seen), -1).astype(jnp.float32) / world.unit


def collect(
    world: World, choose: Policy, value: Judge, worlds: Any, key: Any, *, ticks: int
) -> tuple[Any, Any]:
    """Return the environments after a rollout, and everything that happened in it.

    Args:
        world: The environment.
        choose: Chooses actions by a key and what agents see.
        value: Returns the values of what agents see.
        worlds: The environments' state.
        key: A key of JAX.
        ticks: Steps of each environment.
    """
    count = len(worlds["sum"])

    def tick(key: Any, inner: Any, action: Any) -> Any:
        return world.environment.step(key, inner, action, world.settings)

    def play(worlds: Any, key: Any) -> tuple[Any, Any]:
        choosing, moving = jax.random.split(key)
        chosen = choose(choosing, worlds["seen"])
        seen, inner, reward, ended, cut, more = jax.vmap(tick)(
            jax.random.split(moving, count), worlds["inner"], chosen.action
        )
        total = worlds["sum"] + reward
        over = ended | cut
        last = _flatten(world, more["final_observation"])
        happened = {
            **chosen.noted,
            "seen": worlds["seen"],
            "action": chosen.action,
            "value": value(worlds["seen"]),
            "reward": reward,
            "over": over,
            # An episode that was cut short would have gone on.
            "following": jnp.where(ended, 0.0, value(last)),
        }
        worlds = {
            "seen": _flatten(world, seen),
            "inner": inner,
            "sum": jnp.where(over, 0.0, total),
            "returns": jnp.where(over, total, worlds["returns"]),
        }
        return worlds, happened

    return jax.lax.scan(play, worlds, jax.random.split(key, ticks))


def estimate_advantages(happened: Any, *, discount: float, trace: Any, unroll: Any) -> Any:
    """Return generalised advantage estimates, each of at most ``unroll`` ticks.

    Args:
        happened: What ``collect`` returned.
        discount: How much less a reward counts for each tick that it comes later.
        trace: The λ of the estimates.
        unroll: After how many ticks the value of what follows is taken for the rest.
    """

    def back(ahead: Any, now: Any) -> tuple[Any, Any]:
        error = now["reward"] + discount * now["following"] - now["value"]
        ahead = error + discount * trace * now["goes_on"] * ahead
        return ahead, ahead

    ticks, count = happened["reward"].shape
    whole = (jnp.arange(1, ticks + 1) % unroll != 0)[:, None]
    seen = happened | {"goes_on": whole * (1.0 - happened["over"])}
    return jax.lax.scan(back, jnp.zeros(count), seen, reverse=True)[1]
