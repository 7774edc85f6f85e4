"""JAX: a population of small networks, bare under ``jit(vmap)`` and through ramet."""

import functools
from typing import Any

import numpy as np

import ramet
from benchmarks import vectorized
from benchmarks.device.writing import Part, seconds
from benchmarks.nets import InJax

# Rounds that are timed at least.
ROUNDS = 20
TURN_STEPS = vectorized.TURN_STEPS["jax", "mlp"]


def measure(part: Part) -> None:
    sizes = [1, 4] if part.small else [1_024, 1, 32, 128]
    steps = 20 if part.small else TURN_STEPS
    if part.small:
        vectorized.TURN_STEPS["jax", "mlp"] = steps
        vectorized.TIMED["jax", "mlp"] = 100
    for members in sizes:
        bare = part.measure(
            functools.partial(bare_rate, "mlp", members, steps),
            members=members,
            how="jit(vmap)",
            needs_s=5,
        )
        if members > 1:
            part.measure(
                functools.partial(through_ramet, members, bare.get("steps_per_s")),
                members=members,
                how="ramet",
                needs_s=12,
            )


def population(net: str, members: int) -> tuple[Any, Any, Any]:
    """Return the states of members, their hyperparameters and the seeds of their keys."""
    import jax  # noqa: PLC0415 - only where it is measured

    functions, rng = InJax(net), np.random.default_rng(0)
    seeds = np.arange(members, dtype=np.uint32)
    states = jax.jit(jax.vmap(lambda seed: functions.init(jax.random.key(seed))))(seeds)
    hparams = {
        "lr": rng.uniform(1e-3, 0.1, members).astype(np.float32),
        "weight_decay": rng.uniform(1e-6, 1e-2, members).astype(np.float32),
    }
    return states, hparams, seeds


def bare_rate(net: str, members: int, steps: int) -> dict[str, Any]:
    """Return the steps a second of all members in a bare program."""
    import jax  # noqa: PLC0415 - as above

    functions = InJax(net)

    def one(state: Any, hparams: Any, seed: Any) -> Any:
        state = functions.step(state, hparams, steps, jax.random.key(seed))
        return state, functions.evaluate(state)

    program, members_ = jax.jit(jax.vmap(one)), population(net, members)
    taken_s = seconds(lambda: program(*members_), jax.block_until_ready)
    return {"steps_per_s": members * steps / taken_s, "round_s": taken_s}


def through_ramet(members: int, bare: float | None) -> dict[str, Any]:
    """Return the steps a second of a whole run, and the time outside for a member's turn."""
    steps_per_s, outside = vectorized.rate_together(
        vectorized.make_task("jax", "mlp"), ("jax", "mlp"), members, least_rounds=ROUNDS
    )
    round_s = members * vectorized.TURN_STEPS["jax", "mlp"] / steps_per_s
    return {
        "steps_per_s": steps_per_s,
        "of_bare": steps_per_s / bare if bare else None,
        "outside_share": outside,
        "ms_per_member_turn": 1_000 * outside * round_s / members,
        "round_s": round_s,
        "strategy": ramet.PBT.__name__ if members >= 5 else ramet.RandomSearch.__name__,  # noqa: PLR2004 - the fewest that truncation takes
    }
