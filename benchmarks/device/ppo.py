"""PPO on CartPole in JAX: environment steps a second, bare and through ramet.

The agent is that of ``examples/ppo_jax.py``, with its own environment, and with gymnax's where that
is installed.
"""

import functools
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

import ramet
from benchmarks import vectorized
from benchmarks.device.writing import Part, seconds

UPDATES, ROUNDS = 20, 6
SPACE = ramet.Space(
    lr=ramet.LogUniform(1e-4, 1e-2),
    entropy=ramet.LogUniform(1e-4, 0.1),
    clip=ramet.Uniform(0.05, 0.4),
    gamma=ramet.Uniform(0.9, 0.999),
)


def measure(part: Part) -> None:
    environment = find_environment(part)
    updates = 1 if part.small else UPDATES
    for members in [2, 1] if part.small else [2_048, 1, 256]:
        # One member is the baseline; a run of one alone shows nothing.
        ways = {"jit(vmap)": bare_rate} | ({"ramet": through_ramet} if members > 1 else {})
        for how, measured in ways.items():
            part.measure(
                functools.partial(measured, environment, members, updates),
                environment=environment,
                members=members,
                how=how,
                needs_s=8,
            )


def find_environment(part: Part) -> str:
    """Return "gymnax" where that is installed, or else "own"."""
    try:
        import gymnax  # type: ignore[import-not-found,unused-ignore]  # noqa: F401, PLC0415 - no dependency of ours
    except ImportError as missing:
        part.write(environment="gymnax", skipped=str(missing))
        return "own"
    return "gymnax"


def example() -> Any:
    """Import the example, which is a script."""
    folder = str(Path(__file__).parents[2] / "examples")
    if folder not in sys.path:
        sys.path.insert(0, folder)
    import ppo_jax  # type: ignore[import-not-found]  # noqa: PLC0415 - needs JAX and optax

    return ppo_jax


def agent(environment: str) -> Any:
    """Return the agent of the example, playing in this environment."""
    script = example()
    if environment == "gymnax":
        _play_gymnax(script)
    return script.PPO()


def _play_gymnax(script: Any) -> None:
    """Put gymnax's CartPole in the place of the example's own."""
    import gymnax  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415 - as above
    from jax import numpy as jnp  # noqa: PLC0415 - as above

    game, settings = gymnax.make("CartPole-v1")

    def reset(key: Any) -> Any:
        seen, state = game.reset(key, settings)
        return {"at": seen, "age": jnp.zeros((), jnp.int32), "state": state}

    def tick(cart: Any, action: Any, key: Any) -> Any:
        seen, state, _, over, *_ = game.step(key, cart["state"], action, settings)
        over = over.astype(bool)
        age = jnp.where(over, 0, cart["age"] + 1)
        return {"at": seen, "age": age, "state": state}, over

    script.reset, script.tick = reset, tick


def bare_rate(environment: str, members: int, updates: int) -> dict[str, Any]:
    """Return the environment steps a second of all agents in a bare program."""
    import jax  # noqa: PLC0415 - as above

    functions, rng = agent(environment), np.random.default_rng(0)
    values = [SPACE.sample(rng) for _ in range(members)]
    hparams = {name: np.array([each[name] for each in values], np.float32) for name in values[0]}
    seeds = np.arange(members, dtype=np.uint32)
    states = jax.jit(jax.vmap(lambda seed: functions.init(jax.random.key(seed))))(seeds)

    def one(state: Any, hparams: Any, seed: Any) -> Any:
        state = functions.step(state, hparams, updates, jax.random.key(seed))
        return state, functions.evaluate(state)

    program = jax.jit(jax.vmap(one))
    taken_s = seconds(lambda: program(states, hparams, seeds), jax.block_until_ready)
    return {"steps_per_s": members * updates * _ticks() / taken_s, "round_s": taken_s}


def through_ramet(environment: str, members: int, updates: int) -> dict[str, Any]:
    """Return the environment steps a second of a whole run, after its third round."""
    import ramet.jax  # noqa: PLC0415 - as above

    began, timed = time.time(), vectorized.Timed(ramet.jax.Task(agent(environment)))
    with tempfile.TemporaryDirectory() as folder:
        ramet.run(
            timed,
            SPACE,
            ramet.PBT(population=members, turn_steps=updates, synchronous=True)
            if members >= 5  # noqa: PLR2004 - the fewest that truncation takes
            else ramet.RandomSearch(population=members, turn_steps=updates, synchronous=True),
            steps=(vectorized.WARM + ROUNDS) * updates,
            mode="max",
            seed=0,
            store=ramet.Storage(Path(folder) / "runs.db", durability="process"),
            engine=ramet.Vectorized(chunk=members, progress=False),
        )
    round_s, outside = timed.steady()
    return {
        "steps_per_s": members * updates * _ticks() / round_s,
        "outside_share": outside,
        "round_s": round_s,
        "first_round_s": timed.spans[0][1] - began,
    }


def _ticks() -> int:
    """Return the environment steps of an update."""
    script = example()
    return int(script.ENVS * script.LENGTH)
