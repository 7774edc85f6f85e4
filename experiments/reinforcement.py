"""Reinforcement learning: PPO and V-MPO agents, and what their hyperparameters should be when.

    python -m experiments.reinforcement --quick
    python -m experiments.reinforcement
    python -m experiments.reinforcement --variant acrobot
    python -m experiments.reinforcement --variant pendulum

The counterpart of the reinforcement learning of the PBT paper (Jaderberg et al., 2017, section
4.1), on environments that a laptop can train: CartPole, Acrobot, and Breakout of MinAtar, by
gymnax. PPO agents search the learning rate, the entropy cost, the clipping, λ and the unroll
length.

Pendulum is the counterpart of the second experiment of the FIRE PBT paper (Dalibard & Jaderberg,
2021, section 4.2): V-MPO agents, which search the learning rate and ε_η.

With all methods, 22 members train at a time. The score is the mean return of the latest episode of
each of 16 environments.

``score`` is the best score. ``played`` is the mean return of the best weights in 256 fresh
environments, without training; by it methods are compared. ``replay`` is that of a fresh agent that
was trained with the schedule.
"""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax

import ramet
import ramet.jax
from experiments import actor_critic, vmpo
from experiments.compiling import keep_programs
from experiments.episodes import World, make_world
from experiments.trials import Experiment, Setting, run_experiment
from ramet.history import Snapshot

MEMBERS = 22
PLAYED_ENVIRONMENTS = 256
QUICK_TURNS = 2
Methods = Mapping[str, ramet.Strategy]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where agents are trained, and how."""

    environment: str
    # Of an episode that has not ended yet.
    worst_return: float
    longest_episode: int
    # What observations are divided by.
    unit: Sequence[float] = (1.0,)
    updates: int
    turn_steps: int
    # Makes agents in a world.
    agents: Any
    environments: int
    ticks: int
    space: ramet.Space
    methods: Methods

    def make_world(self) -> World:
        return make_world(self.environment, self.worst_return, self.unit)


def _make_methods(pbt: Mapping[str, Any], fire: Mapping[str, Any], **pace: int) -> Methods:
    """Return what is compared.

    Args:
        pbt: How losers are replaced by truncation, and how PBT explores.
        fire: Settings of FIRE.
        pace: The steps of a turn, and those between scores.
    """
    together: dict[str, Any] = {**pace, "population": MEMBERS, "synchronous": True}
    truncation = ramet.Truncation(pbt["quantile"])
    return {
        "random search": ramet.RandomSearch(**together),
        "pbt, truncation": ramet.PBT(**together, exploit=truncation, explore=pbt["explore"]),
        "pbt, t-test": ramet.PBT(**together, exploit=ramet.TTest(), explore=pbt["explore"]),
        "fire": ramet.FIRE.for_workers(MEMBERS, **pace, **fire),
    }


PPO_TURN = 10
PPO: dict[str, Any] = {
    "turn_steps": PPO_TURN,
    "agents": actor_critic.PPO,
    "environments": actor_critic.ENVIRONMENTS,
    "ticks": actor_critic.TICKS,
    "space": ramet.Space(
        lr=ramet.LogUniform(1e-6, 1e-1, start=(1e-4, 1e-2)),
        entropy=ramet.LogUniform(1e-5, 1e-1, start=(1e-4, 5e-2)),
        clip=ramet.Uniform(0.02, 0.6),
        trace=ramet.Uniform(0.7, 1.0),
        unroll=ramet.Integer(4, actor_critic.TICKS),
    ),
    "methods": _make_methods(
        {"quantile": 0.2, "explore": ramet.Perturb((0.8, 1.2))},
        {},
        turn_steps=PPO_TURN,
        evaluate_every=1,
    ),
}
VMPO_TURN = 25
VMPO: dict[str, Any] = {
    "turn_steps": VMPO_TURN,
    "agents": vmpo.VMPO,
    "environments": vmpo.ENVIRONMENTS,
    "ticks": vmpo.TICKS,
    "space": ramet.Space(
        lr=ramet.LogUniform(1e-6, 1e-1, start=(1e-4, 1e-2)),
        # Explored as in the paper.
        epsilon_eta=ramet.LogUniform(
            1e-4, 10.0, start=(1e-2, 1.0), explore=ramet.Perturb((0.8, 0.95, 1.05, 1.2))
        ),
    ),
    "methods": _make_methods(
        {"quantile": 0.25, "explore": ramet.Perturb((0.5, 0.8, 1.25, 2.0))},
        # A sixth of the budget, as in the paper.
        {"min_steps_before_eval": 3 * VMPO_TURN},
        turn_steps=VMPO_TURN,
        # All have had a new episode.
        evaluate_every=200 // vmpo.TICKS,
    ),
}
PLACES = {
    "cartpole": Place(
        environment="CartPole-v1", worst_return=0.0, longest_episode=500, updates=200, **PPO
    ),
    "acrobot": Place(
        environment="Acrobot-v1", worst_return=-500.0, longest_episode=500, updates=200, **PPO
    ),
    "breakout": Place(
        environment="Breakout-MinAtar", worst_return=0.0, longest_episode=1_000, updates=200, **PPO
    ),
    "pendulum": Place(
        environment="Pendulum-v1",
        worst_return=-2_000.0,
        longest_episode=200,
        # Of the cosine, the sine and the speed of the angle, which is at most 8.
        unit=(1.0, 1.0, 8.0),
        updates=500,
        **VMPO,
    ),
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
    keep_programs(setting)
    agents = place.agents(place.make_world())
    task, name = ramet.jax.Task(agents), f"{variant}-{method}-{seed}"
    result = ramet.run(
        task,
        place.space,
        place.methods[method],
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
    place = PLACES[variant]
    return QUICK_TURNS * place.turn_steps if quick else place.updates


def settings(variant: str, *, quick: bool) -> dict[str, Any]:
    """Return what results depend on."""
    place = PLACES[variant]
    return {
        "updates": _updates(variant, quick=quick),
        "turn_steps": place.turn_steps,
        "members": MEMBERS,
        "environments": place.environments,
        "ticks": place.ticks,
    }


EXPERIMENTS = [
    Experiment(
        name=variant,
        train=functools.partial(train, variant),
        methods=list(place.methods),
        settings=functools.partial(settings, variant),
        compared="played",
        headings={"score": "best score", "played": "return played", "replay": "return of a replay"},
        pairs=PAIRS,
    )
    for variant, place in PLACES.items()
]

if __name__ == "__main__":
    run_experiment(EXPERIMENTS, __doc__)
