"""PPO and its environments in JAX, with all agents trained as one program. Needs optax.

    python examples/ppo_jax.py
    python examples/ppo_jax.py --store runs.db   # if killed, run it again to go on
    python examples/ppo_jax.py --workers 2       # the same agents one by one, in two processes

A step is a rollout and the update that follows it. The environments are part of a member's state,
so an episode may last longer than a turn.
"""

import argparse
import math

import jax
import optax
from jax import numpy as jnp

import ramet
import ramet.jax

ENVS, LENGTH, EPOCHS, MINIBATCHES = 16, 64, 4, 4
HIDDEN, GAE_LAMBDA, VALUE_COEF, MAX_GRAD_NORM = 64, 0.95, 0.5, 0.5
# The cart and its pole: metres, kilograms, seconds, radians.
LIMIT, TILT, LONGEST = 2.4, math.radians(12), 500
GRAVITY, CART, POLE, HALF_LENGTH, FORCE, TICK = 9.8, 1.0, 0.1, 0.5, 10.0, 0.02


def reset(key):
    return {"at": jax.random.uniform(key, (4,), minval=-0.05, maxval=0.05), "age": 0}


def tick(cart, action, key):
    """Return the cart one tick later, reset if its episode is over, and whether it is over."""
    _, speed, tilt, turning = cart["at"]
    push = jnp.where(action == 1, FORCE, -FORCE)
    sine, cosine = jnp.sin(tilt), jnp.cos(tilt)
    pull = (push + POLE * HALF_LENGTH * turning**2 * sine) / (CART + POLE)
    resistance = HALF_LENGTH * (4 / 3 - POLE * cosine**2 / (CART + POLE))
    falling = (GRAVITY * sine - cosine * pull) / resistance
    moving = pull - POLE * HALF_LENGTH * falling * cosine / (CART + POLE)
    change = jnp.array([speed, moving, turning, falling])
    later = {"at": cart["at"] + TICK * change, "age": cart["age"] + 1}
    over = (jnp.abs(later["at"][0]) > LIMIT) | (jnp.abs(later["at"][2]) > TILT)
    over |= later["age"] >= LONGEST
    return jax.tree.map(lambda new, old: jnp.where(over, new, old), reset(key), later), over


def network(key, outputs, last):
    sizes = [4, HIDDEN, HIDDEN, outputs]
    scales = [2**0.5, 2**0.5, last]
    layers = zip(jax.random.split(key, 3), scales, sizes, sizes[1:], strict=False)
    return [
        {
            "w": jax.nn.initializers.orthogonal(scale)(key, (inputs, outputs)),
            "b": jnp.zeros(outputs),
        }
        for key, scale, inputs, outputs in layers
    ]


def forward(layers, x):
    *hidden, last = layers
    for layer in hidden:
        x = jnp.tanh(x @ layer["w"] + layer["b"])
    return x @ last["w"] + last["b"]


def log_probs(params, seen):
    return jax.nn.log_softmax(forward(params["actor"], seen))


def values(params, seen):
    return forward(params["critic"], seen)[..., 0]


def optimizer(lr):
    return optax.chain(optax.clip_by_global_norm(MAX_GRAD_NORM), optax.adam(lr, eps=1e-5))


def collect(state, key):
    """Return the state after a rollout, and everything that happened in it."""

    def play(state, key):
        seen, (choosing, resetting) = state["carts"]["at"], jax.random.split(key)
        odds = log_probs(state["params"], seen)
        action = jax.random.categorical(choosing, odds)
        carts, over = jax.vmap(tick)(state["carts"], action, jax.random.split(resetting, ENVS))
        happened = {
            "seen": seen,
            "action": action,
            "log_prob": jnp.take_along_axis(odds, action[:, None], axis=1)[:, 0],
            "value": values(state["params"], seen),
            "over": over,
        }
        # A reward of 1 for each tick, so that an episode's return is its length.
        returns = jnp.where(over, state["carts"]["age"] + 1.0, state["returns"])
        return state | {"carts": carts, "returns": returns}, happened

    return jax.lax.scan(play, state, jax.random.split(key, LENGTH))


def advantages(happened, following, gamma):
    """Return generalised advantage estimates."""

    def back(carry, now):
        ahead, following = carry
        goes_on = 1.0 - now["over"]
        error = 1.0 + gamma * following * goes_on - now["value"]
        ahead = error + gamma * GAE_LAMBDA * goes_on * ahead
        return (ahead, now["value"]), ahead

    start = (jnp.zeros(ENVS), following)
    return jax.lax.scan(back, start, happened, reverse=True)[1]


def loss(params, batch, hparams):
    odds = log_probs(params, batch["seen"])
    log_prob = jnp.take_along_axis(odds, batch["action"][:, None], axis=1)[:, 0]
    ratio = jnp.exp(log_prob - batch["log_prob"])
    clipped = jnp.clip(ratio, 1 - hparams["clip"], 1 + hparams["clip"])
    advantage = batch["advantage"]
    advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
    policy_loss = -jnp.minimum(ratio * advantage, clipped * advantage).mean()
    value_loss = jnp.square(values(params, batch["seen"]) - batch["target"]).mean() / 2
    entropy = -(jnp.exp(odds) * odds).sum(axis=1).mean()
    return policy_loss + VALUE_COEF * value_loss - hparams["entropy"] * entropy


def update(state, hparams, key):
    """Return the state after a rollout and the gradient steps that follow."""
    playing, shuffling = jax.random.split(key)
    state, happened = collect(state, playing)
    following = values(state["params"], state["carts"]["at"])
    happened["advantage"] = advantages(happened, following, hparams["gamma"])
    happened["target"] = happened["advantage"] + happened["value"]
    flat = jax.tree.map(lambda x: x.reshape(ENVS * LENGTH, *x.shape[2:]), happened)

    def gradient_step(carry, chosen):
        params, memory = carry
        batch = jax.tree.map(lambda x: x[chosen], flat)
        slopes = jax.grad(loss)(params, batch, hparams)
        changes, memory = optimizer(hparams["lr"]).update(slopes, memory)
        return (optax.apply_updates(params, changes), memory), None

    orders = [
        jax.random.permutation(key, ENVS * LENGTH) for key in jax.random.split(shuffling, EPOCHS)
    ]
    chosen = jnp.stack(orders).reshape(EPOCHS * MINIBATCHES, -1)
    (params, memory), _ = jax.lax.scan(gradient_step, (state["params"], state["memory"]), chosen)
    return state | {"params": params, "memory": memory}


class PPO:
    """What a population of agents needs to be trained as one program."""

    def init(self, key):
        acting, judging, placing = jax.random.split(key, 3)
        params = {"actor": network(acting, 2, last=0.01), "critic": network(judging, 1, last=1.0)}
        return {
            "params": params,
            "memory": optimizer(0.0).init(params),
            "carts": jax.vmap(reset)(jax.random.split(placing, ENVS)),
            "returns": jnp.zeros(ENVS),  # of each environment's latest episode
        }

    def step(self, state, hparams, steps, key):
        def one(nth, state):
            return update(state, hparams, jax.random.fold_in(key, nth))

        return jax.lax.fori_loop(0, steps, one, state)

    def evaluate(self, state):
        return state["returns"].mean()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="PPO on CartPole, a population as one program")
    parser.add_argument("--population", type=int, default=16)
    parser.add_argument("--updates", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, help="train members one by one, in processes")
    parser.add_argument("--store")
    args = parser.parse_args()
    result = ramet.run(
        # How many are mapped at once decides in which order sums are added up: with a number, a
        # run is the same whenever and wherever it goes on.
        ramet.jax.Task(PPO()),
        ramet.Space(
            lr=ramet.LogUniform(1e-4, 1e-2),
            entropy=ramet.LogUniform(1e-4, 0.1),
            clip=ramet.Uniform(0.05, 0.4),
            gamma=ramet.Uniform(0.9, 0.999),
        ),
        ramet.PBT(population=args.population, turn_steps=6, synchronous=True),
        steps=args.updates,
        mode="max",
        seed=args.seed,
        workers=args.workers,
        engine=ramet.Vectorized(chunk=args.population) if args.workers is None else None,
        store=args.store,
        name="ppo_jax",
    )
    print(f"the pole is held for {result.best.score:.0f} of {LONGEST} ticks")
    for step, hparams in result.schedule():
        print(f"from update {step}: {', '.join(f'{k} = {v:.3g}' for k, v in hparams.items())}")
