"""Reinforcement learning: PPO agents, and what their hyperparameters should be when.

    python -m experiments.reinforcement --quick
    python -m experiments.reinforcement
    python -m experiments.reinforcement --variant acrobot

The counterpart of the reinforcement learning of the PBT paper (Jaderberg et al., 2017, section
4.1), on environments that a laptop can train: CartPole, Acrobot, and Breakout of MinAtar, by
gymnax. The search is over the learning rate, the entropy cost, the clipping, λ and the unroll
length. With all methods, 22 members train at a time. The score is the mean return of the latest
episode of each of 16 environments.

``score`` is the best score. ``played`` is the mean return of the best weights in 256 fresh
environments, without training; by it methods are compared. ``replay`` is that of a fresh agent that
was trained with the schedule.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax

import ramet
import ramet.jax
from experiments.actor_critic import ENVIRONMENTS, PPO, TICKS, make_world
from experiments.trials import Experiment, Setting, run_experiment
from ramet.history import Snapshot

MEMBERS = 22
TURN_STEPS = 10
SPACE = ramet.Space(
    lr=ramet.LogUniform(1e-6, 1e-1, start=(1e-4, 1e-2)),
    entropy=ramet.LogUniform(1e-5, 1e-1, start=(1e-4, 5e-2)),
    clip=ramet.Uniform(0.02, 0.6),
    trace=ramet.Uniform(0.7, 1.0),
    unroll=ramet.Integer(4, TICKS),
)
FACTORS = (0.8, 1.2)
PLAYED_ENVIRONMENTS = 256


@dataclass(frozen=True, slots=True)
class Place:
    """Where agents are trained."""

    environment: str
    # Of an episode that has not ended yet.
    worst_return: float
    longest_episode: int
    updates: int


PLACES = {
    "cartpole": Place("CartPole-v1", 0.0, 500, 200),
    "acrobot": Place("Acrobot-v1", -500.0, 500, 200),
    "breakout": Place("Breakout-MinAtar", 0.0, 1_000, 600),
}
QUICK_UPDATES = 20


def random() -> ramet.Strategy:
    return ramet.RandomSearch(
        population=MEMBERS, turn_steps=TURN_STEPS, evaluate_every=1, synchronous=True
    )


def pbt(exploit: Any) -> ramet.Strategy:
    return ramet.PBT(
        population=MEMBERS,
        turn_steps=TURN_STEPS,
        evaluate_every=1,
        exploit=exploit,
        explore=ramet.Perturb(FACTORS),
        synchronous=True,
    )


def fire() -> ramet.Strategy:
    return ramet.FIRE.for_workers(MEMBERS, turn_steps=TURN_STEPS, evaluate_every=1)


METHODS: dict[str, Callable[[], ramet.Strategy]] = {
    "random search": random,
    "pbt, truncation": functools.partial(pbt, ramet.Truncation()),
    "pbt, t-test": functools.partial(pbt, ramet.TTest()),
    "fire": fire,
}
PAIRS = (
    ("pbt, truncation", "random search"),
    ("pbt, t-test", "random search"),
    ("fire", "random search"),
    ("fire", "pbt, truncation"),
    ("pbt, truncation/replay", "random search/replay"),
    ("fire/replay", "random search/replay"),
)


def train(variant: str, method: str, seed: int, setting: Setting) -> dict[str, float]:
    """Train a population; return its best score, and how its best weights play."""
    place = PLACES[variant]
    agents = PPO(make_world(place.environment, place.worst_return))
    task, name = ramet.jax.Task(agents), f"{variant}-{method}-{seed}"
    result = ramet.run(
        task,
        SPACE,
        METHODS[method](),
        steps=_updates(variant, quick=setting.quick),
        mode="max",
        seed=seed,
        store=setting.store,
        name=name,
        engine=setting.engine,
    )
    replayed = ramet.replay(
        task,
        result.schedule(),
        seeds=[seed],
        store=setting.store,
        name=f"{name}-replay",
        engine=setting.engine,
    )

    def play(kept: Snapshot) -> float:
        params = task.as_state(kept.load())["params"]
        ticks = 3 * place.longest_episode
        played = functools.partial(agents.play, environments=PLAYED_ENVIRONMENTS, ticks=ticks)
        return float(jax.jit(played)(params, jax.random.key(seed)))

    return {
        "score": result.best.score,
        "played": play(result.best),
        "replay": play(replayed.result.final),
    }


def _updates(variant: str, *, quick: bool) -> int:
    return QUICK_UPDATES if quick else PLACES[variant].updates


def settings(variant: str, *, quick: bool) -> dict[str, Any]:
    """Return what results depend on."""
    return {
        "updates": _updates(variant, quick=quick),
        "turn_steps": TURN_STEPS,
        "members": MEMBERS,
        "environments": ENVIRONMENTS,
        "ticks": TICKS,
    }


EXPERIMENTS = [
    Experiment(
        name=variant,
        train=functools.partial(train, variant),
        methods=list(METHODS),
        settings=functools.partial(settings, variant),
        compared="played",
        headings={"score": "best score", "played": "return played", "replay": "return of a replay"},
        pairs=PAIRS,
    )
    for variant in PLACES
]

if __name__ == "__main__":
    run_experiment(EXPERIMENTS, __doc__)
